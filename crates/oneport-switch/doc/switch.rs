// A switch that runs: the examples of the documentation include this.

use std::path::Path;

use oneport::{Driver, DriverConfig};
use oneport_switch::{Config, Switch};

/// What the file says, at a free port of the loopback.
pub fn config(text: &str) -> Config {
    let text = format!("[server]\nlisten = [\"127.0.0.1:0\"]\n{text}");
    Config::parse(Path::new("oneport.toml"), &text).expect("a good configuration")
}

/// A switch with these sections beside `[server]`.
pub fn start(text: &str) -> Driver<Switch> {
    let config = config(text);
    let (listen, endpoint) = (config.listen.clone(), config.endpoint.clone());
    let driver = DriverConfig { listen, endpoint, ..DriverConfig::default() };
    Driver::start(driver, Switch::new(config)).expect("the port is free")
}

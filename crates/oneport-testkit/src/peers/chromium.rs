//! Chromium, led by Debian's chromedriver (W3C WebDriver), and axe-core, which judges a page's
//! accessibility.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::install::{Missing, axe, program_of};
use super::place::Place;

/// A chromedriver that runs. It takes its browsers along when it is dropped.
pub struct Chromium {
    driver: Child,
    port: u16,
    _place: Arc<Place>,
}

impl Chromium {
    /// Starts it. It has a place among the tests with peers, as an Asterisk has.
    ///
    /// # Panics
    /// Chromium or chromedriver is missing, or does not start.
    #[must_use]
    pub fn start() -> Self {
        for (program, package) in [("chromium", "chromium"), ("chromedriver", "chromium-driver")] {
            program_of(program, package).unwrap_or_else(|missing| panic!("{missing}"));
        }
        let place = Place::take();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let said = BufReader::new(driver.stdout.take().expect("it is piped"));
        // It chooses a port itself, and says which.
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            port.trim_end_matches('.').parse().ok()
        });
        Self { driver, port: port.expect("chromedriver names its port"), _place: place }
    }

    /// Where it takes commands.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a browser is started with: no window, and none of what it asks its maker for.
    #[must_use]
    pub const fn arguments() -> &'static [&'static str] {
        &[
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
        ]
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The script of axe-core, which is to be run in a page.
///
/// # Errors
/// It is not there, and cannot be had.
pub fn axe_script() -> Result<String, Missing> {
    let path: PathBuf = axe()?;
    fs::read_to_string(&path)
        .map_err(|error| Missing { what: path.display().to_string(), remedy: error.to_string() })
}

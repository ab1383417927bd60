//! iaxmodem: a fax modem that speaks IAX2, by a library from before call tokens.

use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::install::program_of;
use super::{free_port, wait_for};

/// `O_NONBLOCK` of Linux: a read that waits would outlive its command and take what is for the next.
const NON_BLOCKING: i32 = 0o4000;

/// A running iaxmodem. Dropping it kills it.
pub struct IaxModem {
    process: Child,
    device: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

impl IaxModem {
    /// Starts one that registers at `server`, port 4569, the only one it knows, as `name`.
    ///
    /// # Panics
    /// It is missing or does not start.
    #[must_use]
    pub fn start(server: IpAddr, name: &str, secret: &str) -> Self {
        for (program, package) in [("iaxmodem", "iaxmodem"), ("pkill", "procps")] {
            program_of(program, package).unwrap_or_else(|missing| panic!("{missing}"));
        }
        let port = free_port();
        let unique = format!("oneport-{}-{port}", std::process::id());
        let device = std::env::temp_dir().join(format!("{unique}.tty"));
        let log = std::env::temp_dir().join(format!("{unique}.log"));
        // It takes a bare name and looks for it there.
        let config = PathBuf::from("/etc/iaxmodem").join(&unique);
        let text = format!(
            "device {}\nowner root:root\nmode 660\nport {port}\nrefresh 60\nserver {server}\n\
             peername {name}\nsecret {secret}\ncidname Modem\ncidnumber 100\ncodec ulaw\n",
            device.display(),
        );
        fs::create_dir_all("/etc/iaxmodem").expect("may be made");
        fs::write(&config, text).expect("writable");
        let output = fs::File::create(&log).expect("writable");
        let errors = output.try_clone().expect("one more handle");
        let process = Command::new("iaxmodem")
            .args(["-F", &unique])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("iaxmodem starts");
        let modem = Self { process, device, config, log };
        wait_for("iaxmodem's terminal", Duration::from_secs(10), || modem.device.exists());
        modem
    }

    /// Its terminal.
    #[must_use]
    pub fn device(&self) -> &std::path::Path {
        &self.device
    }

    /// Sends a command and collects what comes back until `until` is in it.
    ///
    /// # Panics
    /// It does not come within 20 s.
    pub fn command(&self, command: &str, until: &str) -> String {
        let mut terminal = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(NON_BLOCKING)
            .open(&self.device)
            .expect("iaxmodem's terminal opens");
        if !command.is_empty() {
            terminal.write_all(format!("{command}\r").as_bytes()).expect("writable");
        }
        let mut text = String::new();
        let begun = std::time::Instant::now();
        while !text.contains(until) {
            let mut bytes = [0; 64];
            match terminal.read(&mut bytes) {
                Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
            if begun.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("iaxmodem said {text:?}, no {until:?}; its log:\n{log}");
            }
        }
        text
    }
}

impl Drop for IaxModem {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // Its children leave its process group, but have its command line.
        let name = self.config.file_name().unwrap_or_default();
        let _ = Command::new("pkill").args(["-KILL", "-f"]).arg(name).status();
        for file in [&self.config, &self.log, &self.device] {
            let _ = fs::remove_file(file);
        }
    }
}

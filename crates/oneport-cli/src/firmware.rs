//! `oneport firmware`: fetches and shows the firmware of IAX2 devices.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use oneport::{FirmwareFailure, FirmwareFetchError, FirmwareImage, Phone, PhoneConfig, Target};

use crate::exit::{Code, Failure, failed, usage};

/// Fetches and shows the firmware of IAX2 devices
#[derive(Args)]
#[command(after_help = "\
A server sends the image without the header that its file has. Nothing proves that an image is
genuine: it comes in the clear from whoever is at that address.

Examples:
  oneport firmware fetch pbx.example.org iaxy --output iaxy.image
  oneport firmware show iaxy.bin")]
pub(crate) struct Firmware {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Fetches the image for a kind of device (FWDOWNL)
    Fetch {
        /// Host, with or without port
        server: Target,
        /// Kind of device, such as iaxy
        device: String,
        /// File to be written
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Checks a firmware file and shows what its header says
    Show {
        /// A file with the 42 bytes of header, as servers have it
        file: PathBuf,
    },
}

impl Firmware {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Fetch { server, device, output } => fetch(&server, &device, &output).await,
            Action::Show { file } => show(&file),
        }
    }
}

async fn fetch(server: &Target, device: &str, output: &Path) -> Result<(), Failure> {
    let resolved = server.resolve().await;
    let from = resolved
        .map_err(|error| Failure::new(Code::Unreachable, error).hint("check the host's name"))?;
    let phone = Phone::bind(PhoneConfig::default()).map_err(failed)?;
    let fetched = tokio::select! {
        fetched = phone.fetch_firmware(from, device) => fetched,
        _ = tokio::signal::ctrl_c() => return Err(failed("interrupted")),
    };
    phone.stop().await;
    let image = fetched.map_err(|error| explain(&error, device))?;
    std::fs::write(output, &image)
        .map_err(|error| usage(format!("{}: {error}", output.display())).hint("check --output"))?;
    say!("{}: {} bytes", output.display(), image.len());
    // Some images bring their header along.
    match FirmwareImage::parse(&image) {
        Ok(image) => say!("{}", describe(&image)),
        Err(error) => say!("it has no header to check it by: {error}"),
    }
    Ok(())
}

fn explain(error: &FirmwareFetchError, device: &str) -> Failure {
    let FirmwareFetchError::Failed(failure) = error else { return failed(error) };
    match failure {
        FirmwareFailure::Refused { .. } => {
            Failure::new(Code::Rejected, format!("the server has no firmware for {device:?}"))
                .hint("check the name of the device; letter case counts")
        }
        FirmwareFailure::Unsupported => {
            Failure::new(Code::Rejected, "the server does not serve firmware")
                .hint("set `firmware` in [server] there, or allowfwdownload=yes in Asterisk")
        }
        FirmwareFailure::TimedOut => {
            Failure::new(Code::Unreachable, "the server does not answer, or has fallen silent")
                .hint("check host and port, and that UDP 4569 passes the firewalls")
        }
        _ => failed("what the server sent makes no sense"),
    }
}

fn show(file: &Path) -> Result<(), Failure> {
    let wrong = |error: String| usage(format!("{}: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let image = FirmwareImage::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    say!("{}: {}", file.display(), describe(&image));
    Ok(())
}

fn describe(image: &FirmwareImage) -> String {
    let md5: String = image.md5().iter().map(|byte| format!("{byte:02x}")).collect();
    let (device, version, bytes) = (image.device(), image.version(), image.data().len());
    format!("firmware {version} for {device}, {bytes} bytes, MD5 {md5} is right")
}

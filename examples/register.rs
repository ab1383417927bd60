//! Registers and waits: `ONEPORT_SECRET=… cargo run --example register -- iax:site@pbx.example.org`.

use std::time::Duration;

use oneport::{Phone, PhoneConfig, RegistrationConfig, Target};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target: Target = std::env::args().nth(1).ok_or("where?")?.parse()?;
    let phone = Phone::bind(PhoneConfig::default())?;
    let config = RegistrationConfig {
        to: target.resolve().await?,
        others: Vec::new(),
        username: target.user.ok_or("as whom? Write iax:user@host")?,
        secret: std::env::var("ONEPORT_SECRET").ok().map(Into::into),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await?;
    loop {
        tokio::select! {
            event = registration.next_event() => match event {
                Some(event) => println!("{event:?}"),
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    registration.unregister().await;
    phone.stop().await;
    Ok(())
}

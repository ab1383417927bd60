//! Answers every call with an echo: `cargo run --example echo_server -- 127.0.0.1:4569`.

use oneport::{CallError, IncomingCall, Phone, PhoneConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "0.0.0.0:4569".into()).parse()?;
    let phone = Phone::bind(PhoneConfig { listen: vec![address], ..PhoneConfig::default() })?;
    println!("listening on {}", phone.local_addresses()[0]);
    while let Some(call) = phone.incoming().await {
        tokio::spawn(async move {
            if let Err(error) = echo(call).await {
                println!("{error}");
            }
        });
    }
    Ok(())
}

async fn echo(incoming: IncomingCall) -> Result<(), CallError> {
    println!("a call from {} to {}", incoming.offer().path, incoming.offer().called_number);
    let mut call = incoming.answer().await?;
    call.echo().await?;
    let end = call.ended().await?;
    println!("{}: {} frames heard", end.cause, end.stats.received.frames);
    Ok(())
}

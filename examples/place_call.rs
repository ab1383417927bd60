//! Places a call and plays a WAV file: `cargo run --example place_call -- 127.0.0.1/echo a.wav`.

use std::path::Path;

use oneport::{NewCall, Phone, PhoneConfig, Target, media};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let target: Target = arguments.next().ok_or("whom to call?")?.parse()?;
    let file = arguments.next().ok_or("which WAV file?")?;

    let phone = Phone::bind(PhoneConfig::default())?;
    let mut new = NewCall::to(target.number.clone().unwrap_or_else(|| "s".into()));
    new.username = target.user.clone();
    new.secret = std::env::var("ONEPORT_SECRET").ok().map(Into::into);
    let mut call = phone.call(target.resolve().await?, new).await?;
    let format = call.answered().await?;
    println!("answered, in {format}");

    let (_, speaker) = call.audio().await?;
    speaker.play(&media::wav::read(Path::new(&file), speaker.sample_rate())?).await;
    if let Some(stats) = call.stats().await {
        println!("{} frames sent, {} heard", stats.sent_frames, stats.received.frames);
    }
    drop(call);
    drop(speaker);
    phone.stop().await;
    Ok(())
}

//! The command `oneport`: an IAX2 switch, a softphone and tools.

/// Prints a line. That nobody reads it any more (`oneport ping … | head -1`) is no failure.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod answer;
mod api;
mod call;
mod capture;
mod cdr;
mod chart;
mod check;
mod cluster;
mod completions;
mod conference;
mod decode;
mod doctor;
mod drain;
mod draining;
mod exit;
mod firmware;
mod hangup;
mod heir;
mod iax2;
mod import;
mod interrupt;
mod key;
mod ladder;
mod listen;
mod live;
mod load;
mod log;
mod manual;
mod notify;
mod originate;
mod phone;
mod ping;
mod places;
mod probe;
mod quality;
mod record;
mod register;
mod reload;
mod route;
mod schema;
mod secret;
mod serve;
mod show;
mod speech;
mod state;
mod status;
mod storage;
mod style;
mod table;
mod terminal;
mod top;
mod upgrade;
mod user;
mod websocket;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// IAX2 over one UDP port: a switch, a telephone, and tools
#[derive(Parser)]
#[command(name = "oneport", version, after_help = exit::HELP, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Call(call::CallArgs),
    Answer(answer::Answer),
    Phone(phone::PhoneArgs),
    Register(register::Register),
    Ping(ping::Ping),
    Probe(Box<probe::Probe>),
    Load(Box<load::Load>),
    Decode(Box<decode::Decode>),
    Key(key::Key),
    Show(show::Show),
    Cluster(cluster::Cluster),
    Top(top::Top),
    Status(status::Status),
    Hangup(hangup::HangUp),
    Originate(originate::OriginateArgs),
    Record(record::Record),
    Capture(capture::Capture),
    Ladder(ladder::LadderArgs),
    Listen(listen::Listen),
    Reload(hangup::Reload),
    Drain(draining::Drain),
    Undrain(draining::Undrain),
    Upgrade(upgrade::Upgrade),
    Conference(conference::Conference),
    #[command(name = "iax2")]
    Iax2(iax2::Iax2),
    User(user::User),
    Route(route::Route),
    Check(check::Check),
    Schema(schema::Schema),
    Completions(completions::Completions),
    #[command(hide = true)]
    Manual(manual::Manual),
    Import(import::Import),
    Doctor(doctor::Doctor),
    Firmware(firmware::Firmware),
    Cdr(cdr::Cdr),
    Why(cdr::Why),
    State(state::State),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failed(error).report(),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Serve(serve) => serve.run().await,
            Command::Call(call) => call.run().await,
            Command::Answer(answer) => answer.run().await,
            Command::Phone(phone) => phone.run().await,
            Command::Register(register) => register.run().await,
            Command::Ping(ping) => ping.run().await,
            Command::Probe(probe) => return probe.run().await,
            Command::Load(load) => load.run().await,
            Command::Decode(decode) => decode.run().await,
            Command::Key(key) => key.run(),
            Command::Show(show) => show.run(),
            Command::Cluster(cluster) => cluster.run().await,
            Command::Top(top) => top.run().await,
            Command::Status(status) => status.run(),
            Command::Hangup(hangup) => hangup.run(),
            Command::Originate(originate) => originate.run(),
            Command::Record(record) => record.run(),
            Command::Capture(capture) => capture.run(),
            Command::Ladder(ladder) => ladder.run(),
            Command::Listen(listen) => listen.run(),
            Command::Reload(reload) => reload.run(),
            Command::Drain(drain) => drain.run(),
            Command::Undrain(undrain) => undrain.run(),
            Command::Upgrade(upgrade) => upgrade.run(),
            Command::Conference(conference) => conference.run(),
            Command::Iax2(iax2) => iax2.run(),
            Command::User(user) => user.run(),
            Command::Route(route) => route.run(),
            Command::Check(check) => check.run().await,
            Command::Schema(schema) => schema.run(),
            Command::Completions(completions) => completions.run(),
            Command::Manual(manual) => manual.run(),
            Command::Import(import) => import.run(),
            Command::Doctor(doctor) => doctor.run().await,
            Command::Firmware(firmware) => firmware.run().await,
            Command::Cdr(cdr) => cdr.run().await,
            Command::Why(why) => why.run().await,
            Command::State(state) => state.run().await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    result.unwrap_or_else(|failure| failure.report())
}

//! A softphone with a sound card, of ALSA's own making.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneport_testkit::peers::wait_for;

use crate::switch::Switch;
use crate::terminal::Terminal;

/// A machine whose sound is what `asound.conf` says, in a directory.
fn machine(directory: &Path, asound: &str) -> Vec<(String, String)> {
    let path = directory.join("asound.conf");
    std::fs::write(&path, asound).expect("writable");
    let path = format!("/usr/share/alsa/alsa.conf:{}", path.display());
    // What PulseAudio would keep for itself otherwise is seconds.
    vec![("ALSA_CONFIG_PATH".into(), path), ("PULSE_LATENCY_MSEC".into(), "40".into())]
}

fn phone(switch: &Switch, environment: &[(String, String)]) -> Terminal {
    let account = format!("iax:ann@{}", switch.address);
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let phone = Terminal::phone(&[&account], "ann's own", &environment);
    phone.sees("ready, registered for 60 s");
    phone
}

#[test]
fn a_machine_without_a_sound_card_says_so_in_a_sentence_and_calls_go_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let switch = Switch::start();
    let phone = phone(&switch, &machine(directory.path(), "pcm.!default { type hw card 99 }\n"));
    let screen = phone.sees("there is no sound card");
    assert!(screen.contains("--in and --out name files instead"), "{screen}");
    assert!(!screen.contains("ALSA lib"), "{screen}");
    phone.press("601\n");
    phone.wait("the milliwatt", |screen| screen.contains("-3 dB") || screen.contains("-6 dB"));
}

#[test]
fn a_card_that_keeps_no_time_is_found_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let switch = Switch::start();
    let phone = phone(&switch, &machine(directory.path(), "pcm.!default { type null }\n"));
    phone.sees("the sound card keeps no time");
    phone.press("600\n");
    phone.sees("talking");
    phone.sees("MOS 4.");
}

/// A sound server with a loudspeaker that nobody hears but its own microphone.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn server(directory: &Path) -> (Server, String) {
    let socket = directory.join("native");
    let load = |module: String| ["-L".to_string(), module];
    let process = Command::new("pulseaudio")
        .args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"])
        .args(["--high-priority=no", "--realtime=no"])
        .args(load("module-null-sink sink_name=card rate=48000".into()))
        .args(load(format!(
            "module-native-protocol-unix socket={} auth-anonymous=1",
            socket.display()
        )))
        .env("HOME", directory)
        .env("XDG_RUNTIME_DIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pulseaudio is there: `cargo xtask peers` installs it");
    let server = Server(process);
    wait_for("the sound server", Duration::from_secs(60), || socket.exists());
    (server, format!("pcm.!default {{ type pulse\n server \"unix:{}\" }}\n", socket.display()))
}

#[test]
fn a_card_is_played_and_heard_through_and_its_echo_stays_here() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_server, asound) = server(directory.path());
    let switch = Switch::start();
    let environment = machine(directory.path(), &asound);
    let ann = phone(&switch, &environment);
    ann.sees("kHz");
    let ben = switch.phone("ben", &["--no-sound"]);
    ben.press("701\n");
    ann.sees("calls you");
    ann.press("a");
    ann.sees("talking");
    ben.sees("talking");
    // Its microphone is open: what is said arrives, though it is silence.
    ben.sees("MOS 4.");
    ann.sees("MOS 4.");
    let screen = ann.screen();
    assert!(!screen.contains("no microphone") && !screen.contains("gone"), "{screen}");
    // The milliwatt goes to the loudspeaker, which the microphone hears; the other side does not.
    ann.press("x");
    ann.press("601\n");
    ann.wait("the milliwatt", |screen| screen.contains("-3 dB") || screen.contains("-6 dB"));
}

//! A home behind a NAT, in network namespaces: `inside` — router with masquerade — `outside`, and
//! somebody `elsewhere` who reaches the outside without the NAT.
//!
//! Nothing leaves the machine: they are joined by virtual cables only, and vanish with the
//! value.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::peers::program_of;

static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// A side of the NAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Behind the NAT.
    Inside,
    /// What it takes for the internet.
    Outside,
    /// Another place of that.
    Elsewhere,
}

impl Side {
    const fn letter(self) -> char {
        match self {
            Self::Inside => 'i',
            Self::Outside => 'o',
            Self::Elsewhere => 'e',
        }
    }
}

/// The namespaces.
pub struct Nat {
    name: String,
}

impl Nat {
    /// Where the inside is.
    pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
    /// Where the outside is.
    pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 2);
    /// Where somebody else is.
    pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 2);

    /// Builds it. The router forgets an idle way of UDP after `timeout_seconds`.
    ///
    /// # Panics
    /// Namespaces or nftables are not to be had; the message says which command failed.
    #[must_use]
    pub fn new(timeout_seconds: u32) -> Self {
        Self::with_ports(timeout_seconds, "fully-random")
    }

    /// The same with a router that gives out the port that the inside has, again and again.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn that_keeps_ports(timeout_seconds: u32) -> Self {
        Self::with_ports(timeout_seconds, "")
    }

    fn with_ports(timeout_seconds: u32, ports: &str) -> Self {
        for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
            program_of(program, package).unwrap_or_else(|missing| panic!("{missing}"));
        }
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let nat = Self { name: format!("op{}-{number}", std::process::id()) };
        let n = &nat.name;
        // Interface names have 15 characters at most; each namespace has its own.
        let script = format!(
            "set -e
            for side in i r o e; do ip netns add {n}-$side; ip -n {n}-$side link set lo up; done
            ip -n {n}-i link add eth type veth peer name in netns {n}-r
            ip -n {n}-o link add eth type veth peer name out netns {n}-r
            ip -n {n}-e link add eth type veth peer name else netns {n}-r
            ip -n {n}-e addr add 10.77.3.2/24 dev eth; ip -n {n}-e link set eth up
            ip -n {n}-r addr add 10.77.3.1/24 dev else; ip -n {n}-r link set else up
            ip -n {n}-e route add default via 10.77.3.1
            ip -n {n}-i addr add 10.77.1.2/24 dev eth; ip -n {n}-i link set eth up
            ip -n {n}-o addr add 10.77.2.2/24 dev eth; ip -n {n}-o link set eth up
            ip -n {n}-r addr add 10.77.1.1/24 dev in; ip -n {n}-r link set in up
            ip -n {n}-r addr add 10.77.2.1/24 dev out; ip -n {n}-r link set out up
            ip -n {n}-i route add default via 10.77.1.1
            ip -n {n}-o route add 10.77.3.0/24 via 10.77.2.1
            ip netns exec {n}-r sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
            ip netns exec {n}-r nft '
              table ip nat {{
                chain after {{
                  type nat hook postrouting priority 100;
                  ip saddr 10.77.1.0/24 oifname \"out\" masquerade {ports}
                }}
              }}
              table ip filter {{
                chain through {{
                  type filter hook forward priority 0; policy drop;
                  iifname {{ \"in\", \"else\" }} oifname \"out\" accept
                  ct state established,related accept
                }}
              }}'
            for kind in timeout timeout_stream; do
              ip netns exec {n}-r sh -c \
                \"echo {timeout_seconds} > /proc/sys/net/netfilter/nf_conntrack_udp_$kind\"
            done",
        );
        let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no namespaces with NAT: {said}");
        nat
    }

    /// The name of the namespace of one side.
    #[must_use]
    pub fn namespace(&self, side: Side) -> String {
        format!("{}-{}", self.name, side.letter())
    }

    /// Takes the line to the outside down, as a modem that dials anew does: the router forgets all ways
    /// through it, and each gets another port afterwards.
    ///
    /// # Panics
    /// The line is gone.
    pub fn line_down(&self) {
        self.set_line("down");
    }

    /// Takes it up again.
    ///
    /// # Panics
    /// The line is gone.
    pub fn line_up(&self) {
        self.set_line("up");
    }

    fn set_line(&self, state: &str) {
        let router = format!("{}-r", self.name);
        let status = Command::new("ip").args(["-n", &router, "link", "set", "out", state]).status();
        assert!(status.is_ok_and(|status| status.success()), "the line cannot be set {state}");
    }

    /// A command on one side.
    #[must_use]
    pub fn command(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(side), program]);
        command
    }

    /// Starts a program on one side, that ends with the value.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(&self, side: Side, program: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(side, program);
        let child = command.args(arguments).stdin(Stdio::null()).spawn().expect("ip runs");
        Running(child)
    }

    /// The same, with what it says on standard error written to a file.
    ///
    /// # Panics
    /// It does not start, or the file cannot be written.
    #[must_use]
    pub fn start_logged(
        &self,
        side: Side,
        program: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Running {
        let mut command = self.command(side, program);
        let log = File::create(log).expect("writable");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Running(command.spawn().expect("ip runs"))
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        for side in ['i', 'r', 'o', 'e'] {
            let name = format!("{}-{side}", self.name);
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

/// A running program; dropping it kills it.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

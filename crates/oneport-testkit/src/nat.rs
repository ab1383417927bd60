//! A home behind a NAT, in network namespaces: `inside` — router with masquerade — `outside`.
//!
//! Nothing leaves the machine: the three are joined by virtual cables only, and vanish with the
//! value.

use std::net::Ipv4Addr;
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
}

/// The three namespaces.
pub struct Nat {
    name: String,
}

impl Nat {
    /// Where the inside is.
    pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
    /// Where the outside is.
    pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 2);

    /// Builds it. The router forgets an idle way of UDP after `timeout_seconds`.
    ///
    /// # Panics
    /// Namespaces or nftables are not to be had; the message says which command failed.
    #[must_use]
    pub fn new(timeout_seconds: u32) -> Self {
        for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
            program_of(program, package).unwrap_or_else(|missing| panic!("{missing}"));
        }
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let nat = Self { name: format!("op{}-{number}", std::process::id()) };
        let n = &nat.name;
        // Interface names have 15 characters at most; each namespace has its own.
        let script = format!(
            "set -e
            for side in i r o; do ip netns add {n}-$side; ip -n {n}-$side link set lo up; done
            ip -n {n}-i link add eth type veth peer name in netns {n}-r
            ip -n {n}-o link add eth type veth peer name out netns {n}-r
            ip -n {n}-i addr add 10.77.1.2/24 dev eth; ip -n {n}-i link set eth up
            ip -n {n}-o addr add 10.77.2.2/24 dev eth; ip -n {n}-o link set eth up
            ip -n {n}-r addr add 10.77.1.1/24 dev in; ip -n {n}-r link set in up
            ip -n {n}-r addr add 10.77.2.1/24 dev out; ip -n {n}-r link set out up
            ip -n {n}-i route add default via 10.77.1.1
            ip netns exec {n}-r sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
            ip netns exec {n}-r nft '
              table ip nat {{
                chain after {{
                  type nat hook postrouting priority 100;
                  oifname \"out\" masquerade fully-random
                }}
              }}
              table ip filter {{
                chain through {{
                  type filter hook forward priority 0; policy drop;
                  iifname \"in\" accept
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

    /// A command on one side.
    #[must_use]
    pub fn command(&self, side: Side, program: &str) -> Command {
        let side = if side == Side::Inside { 'i' } else { 'o' };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{side}", self.name), program]);
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
}

impl Drop for Nat {
    fn drop(&mut self) {
        for side in ['i', 'r', 'o'] {
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

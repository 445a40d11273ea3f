//! A LAN on one machine: hosts in network namespaces of their own, on one bridge.
//!
//! Only for use inside [`super::isolate::isolated`]: names are fixed, and nothing is taken down.

use std::net::Ipv4Addr;
use std::process::Command;

use super::scene::Place;

/// Hosts `h1` to `hN` with the addresses 10.77.0.1 to 10.77.0.N.
pub struct Lan {
    hosts: usize,
}

impl Lan {
    pub fn new(hosts: usize) -> Self {
        // Snooping would filter the multicast that mDNS lives on, for want of a querier.
        ip("link add lan type bridge mcast_snooping 0");
        ip("link set lan up");
        for host in 1..=hosts {
            ip(&format!("netns add h{host}"));
            ip(&format!(
                "link add eth0 netns h{host} type veth peer name port{host}"
            ));
            ip(&format!("link set port{host} master lan up"));
            ip(&format!(
                "-n h{host} address add 10.77.0.{host}/24 dev eth0"
            ));
            ip(&format!("-n h{host} link set lo up"));
            ip(&format!("-n h{host} link set eth0 up"));
            // Multicast is sent only where some route leads.
            ip(&format!("-n h{host} route add default dev eth0"));
        }
        Self { hosts }
    }

    /// The host with this number, from 1.
    pub fn host(&self, number: usize) -> Place {
        assert!((1..=self.hosts).contains(&number));
        Place::Host(format!("h{number}"))
    }

    /// Lays a cable of its own from here to a host, beside the LAN, and returns the host's address on it: whoever sits
    /// before the machine reaches it whatever happens to the LAN.
    pub fn console(&self, number: usize) -> Ipv4Addr {
        let host = u8::try_from(number).unwrap();
        ip(&format!(
            "link add console netns h{number} type veth peer name console{number}"
        ));
        ip(&format!(
            "address add 10.78.{number}.1/24 dev console{number}"
        ));
        ip(&format!("link set console{number} up"));
        ip(&format!(
            "-n h{number} address add 10.78.{number}.2/24 dev console"
        ));
        ip(&format!("-n h{number} link set console up"));
        Ipv4Addr::new(10, 78, host, 2)
    }

    /// Makes the host's cable narrow, in both directions.
    pub fn narrow(&self, number: usize, kilobits: usize) {
        let bucket = format!("root tbf rate {kilobits}kbit burst 4kb latency 500ms");
        tc(&format!("qdisc add dev port{number} {bucket}"));
        tc(&format!("-n h{number} qdisc add dev eth0 {bucket}"));
    }

    /// Makes it as wide as before.
    pub fn widen(&self, number: usize) {
        tc(&format!("qdisc del dev port{number} root"));
        tc(&format!("-n h{number} qdisc del dev eth0 root"));
    }

    /// Pulls the host's cable.
    pub fn cut(&self, number: usize) {
        ip(&format!("link set port{number} down"));
    }

    /// Plugs these hosts into a switch of their own: they see one another and nobody else.
    pub fn part(&self, hosts: &[usize]) {
        ip("link add apart type bridge mcast_snooping 0");
        ip("link set apart up");
        for host in hosts {
            ip(&format!("link set port{host} master apart"));
        }
    }

    /// Plugs them into the common one again.
    pub fn reunite(&self, hosts: &[usize]) {
        for host in hosts {
            ip(&format!("link set port{host} master lan"));
        }
        ip("link del apart");
    }

    /// Plugs it in again.
    pub fn heal(&self, number: usize) {
        ip(&format!("link set port{number} up"));
    }
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn tc(arguments: &str) {
    run("tc", arguments);
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

//! A LAN on one machine: hosts in network namespaces of their own, on one bridge.
//!
//! Only for use inside [`super::isolate::isolated`]: names are fixed, and nothing is taken down.

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
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

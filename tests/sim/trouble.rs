//! What befalls the machines and the links between them while people vote.

use votenode::node::simulated::net::{Net, Weather};

use votenode::protocol::gossip::Phase;

use crate::counters::Counters;
use crate::invariants::running;

/// How long whoever leaves is given to be in the middle of its work, in milliseconds.
const LEAVING_MS: u64 = 3_000;

/// How much of what befalls a run.
pub struct Trouble {
    /// How likely something changes in a step, in percent.
    percent: u64,
    /// A host that goes away for long, and when.
    leaver: Option<(usize, u64)>,
    /// Hosts that are down until the end.
    pub gone: Vec<usize>,
    /// Whether a loss of power between commit and effects may happen to anyone now.
    fragile: bool,
    seen_crashes: u64,
}

impl Trouble {
    pub fn new(net: &mut Net, closes_ms: u64, counters: &mut Counters) -> Self {
        for host in 0..net.hosts.len() {
            net.hosts[host].clock_offset_ms = net.draw(1_200) as i64 - 600;
            counters.add("clocks set wrong", 1);
        }
        // The last host is no finaliser, and mines.
        let leaver = match net.draw(3) {
            0 => Some((net.hosts.len() - 1, closes_ms - net.draw(25_000))),
            _ => None,
        };
        Self {
            percent: 10 + net.draw(30),
            leaver,
            gone: Vec::new(),
            fragile: false,
            seen_crashes: 0,
        }
    }

    /// Changes the weather, perhaps.
    pub fn act(&mut self, net: &mut Net, counters: &mut Counters) {
        self.count_crashes(net, counters);
        if net.draw(100) >= self.percent {
            return;
        }
        let count = net.hosts.len();
        let host = net.draw(count as u64) as usize;
        match net.draw(14) {
            0 => {
                let others: Vec<_> = (0..count).filter(|other| *other != host).collect();
                let cut = net.partition(&[host], &others);
                counters.add("hosts cut off", u64::from(cut > 0));
            }
            1 => {
                let (left, right): (Vec<usize>, Vec<usize>) =
                    (0..count).partition(|_| net.draw(2) == 0);
                let cut = net.partition(&left, &right);
                counters.add("splits", u64::from(cut > 0));
            }
            2 | 3 => net.heal(),
            4 if net.hosts[host].running.is_some() => {
                counters.add("losses of power", 1);
                net.crash(host);
            }
            4 | 5 => self.start(net, counters),
            6 => net.loss_percent = net.draw(40),
            7 => {
                net.weather = Weather {
                    request_loss_percent: net.draw(20),
                    repeat_percent: net.draw(15),
                    delay_percent: net.draw(25),
                };
            }
            8 => {
                let disk = net.hosts[host].disk.clone();
                disk.set_quota(disk.to_bytes().len() as u64);
            }
            9 => net.hosts[host].disk.set_quota(u64::MAX),
            10 => net.hosts[host].commit_ms = net.draw(2) * net.draw(400),
            11 => {
                counters.add("clocks that jumped", 1);
                let most = if net.draw(4) == 0 { 30_000 } else { 3_000 };
                net.hosts[host].clock_offset_ms = net.draw(2 * most) as i64 - most as i64;
            }
            12 => {
                self.fragile = !self.fragile;
                net.crash_per_mille = if self.fragile { 1 + net.draw(6) } else { 0 };
            }
            _ => {
                net.loss_percent = 0;
                net.weather = Weather::default();
                net.hosts[host].clock_offset_ms = net.draw(400) as i64 - 200;
            }
        }
    }

    /// Lets whoever leaves for long leave, when the time has come.
    pub fn leave(&mut self, net: &mut Net, counters: &mut Counters) {
        if let Some((host, _)) = self.leaver.take_if(|(_, at_ms)| *at_ms <= net.now_ms) {
            counters.add("hosts that left for long", 1);
            // In the middle of its work, if it works at all: others may be standing by for it.
            let at_work = |net: &Net| {
                let running = net.hosts[host].running.as_ref();
                running
                    .is_none_or(|running| running.node.status().mining.phase == Some(Phase::Mining))
            };
            net.within(LEAVING_MS, at_work);
            if net.hosts[host].running.is_some() {
                net.crash(host);
            }
            self.gone.push(host);
        }
    }

    /// Lets a host leave the moment all others know that it is at work, and nothing but time can tell them that no block
    /// comes of it. Gives up after so many milliseconds, and says whether it left.
    pub fn leave_at_work(&mut self, net: &mut Net, limit_ms: u64, counters: &mut Counters) -> bool {
        // No finaliser, and mines.
        let host = net.hosts.len() - 1;
        let end_ms = net.now_ms + limit_ms;
        if !net.within(limit_ms, |net| all_know_of_its_work(net, host)) {
            net.run(end_ms - net.now_ms);
            return false;
        }
        counters.add("hosts that left while others stood by", 1);
        net.crash(host);
        self.gone.push(host);
        true
    }

    fn count_crashes(&mut self, net: &Net, counters: &mut Counters) {
        let crashes = net.happened.crashes - self.seen_crashes;
        self.seen_crashes = net.happened.crashes;
        counters.add("crashes between a commit and its effects", crashes);
    }

    /// Starts whoever is down, but for those who left.
    fn start(&mut self, net: &mut Net, counters: &mut Counters) {
        let up = running(net);
        for host in (0..net.hosts.len()).filter(|host| !up.contains(host)) {
            // A disk that is full may not allow it.
            if !self.gone.contains(&host) && net.try_start(host).is_ok() {
                counters.add("restarts on what was durable", 1);
            }
        }
    }

    /// Everything is as it should be from now on, but for those who left.
    pub fn end(&mut self, net: &mut Net, counters: &mut Counters) {
        net.loss_percent = 0;
        net.weather = Weather::default();
        net.crash_per_mille = 0;
        for host in &mut net.hosts {
            host.disk.set_quota(u64::MAX);
            host.commit_ms = 0;
        }
        for host in 0..net.hosts.len() {
            net.hosts[host].clock_offset_ms = net.draw(400) as i64 - 200;
        }
        self.start(net, counters);
        net.heal();
        self.count_crashes(net, counters);
    }

    /// Those who left come back.
    pub fn come_back(&mut self, net: &mut Net, counters: &mut Counters) {
        self.gone.clear();
        self.start(net, counters);
    }
}

/// Whether this host makes a block, and everybody else heard so and leaves it to it.
fn all_know_of_its_work(net: &Net, host: usize) -> bool {
    let is_at_work = |host: usize| net.node(host).status().mining.phase == Some(Phase::Mining);
    let up = running(net);
    up.contains(&host)
        && is_at_work(host)
        && up.into_iter().filter(|other| *other != host).all(|other| {
            let status = net.node(other).status();
            let mut heard = status.mining_states.iter();
            !is_at_work(other)
                && heard.any(|said| said.phase == Phase::Mining && said.parent == status.tip.id)
        })
}

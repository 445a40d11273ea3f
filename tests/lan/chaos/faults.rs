//! Faults, drawn from a seed: what can happen to machines and cables, and how it goes away again.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::HEALING;
use super::history::{Event, History, now_ms};
use super::watch::{Effect, Noticed};
use crate::harness::clock::Clock;
use crate::harness::disk::Disk;
use crate::harness::http::Http;
use crate::harness::lan::Lan;
use crate::harness::node::Node;
use crate::harness::seed::Dice;
use crate::harness::until;

/// Most faults at the same time.
const AT_ONCE: usize = 4;
/// Longest pause between two faults, in milliseconds.
const PAUSE_MS: usize = 2_500;
/// A fault lasts so long and up to so much longer, in milliseconds. Some last much longer.
const LASTS_MS: (usize, usize) = (500, 5_000);
/// How often one lasts much longer, and how many times as long.
const LONG: (usize, u32) = (8, 4);
/// How much longer one lasts whose effect is not seen: a node that has nothing to write does not notice a full disk.
const UNSEEN: Duration = Duration::from_secs(20);
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(50);
/// How often SIGKILL comes to all.
const POWER_CUT: usize = 6;
/// Widths of a narrow cable, in kilobits a second.
const NARROW_KBIT: [usize; 3] = [32, 128, 512];
/// Seconds by which a clock is wrong: by less than a node minds, by more, and by far.
const OFF_SECONDS: [i64; 6] = [-3, 3, -20, 20, -900, 900];
/// How a process ends that SIGTERM ends.
const SIGTERM: i32 = -15;
/// How `votenode` ends when it cannot start for want of room on its disk.
const EXIT_DISK_FULL: i32 = 7;

/// Everything that happens here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and started again later; some are killed again while they start. Sometimes all at once, as when the power
    /// fails.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Freeze,
    /// SIGTERM, and started again later.
    Restart,
    /// A pulled cable.
    Cut,
    /// Half of the machines on a switch of their own.
    Split,
    /// A cable that carries little.
    Narrow,
    /// No room on the disk; some are killed and started meanwhile.
    FullDisk,
    /// A wall clock that is off.
    WrongClock,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::Freeze,
        Self::Restart,
        Self::Cut,
        Self::Split,
        Self::Narrow,
        Self::FullDisk,
        Self::WrongClock,
    ];

    /// Whether it happens to cables. What happens to a machine and to its cable may come together, two things of a sort
    /// at one place may not.
    fn is_of_cables(self) -> bool {
        matches!(self, Self::Cut | Self::Split | Self::Narrow)
    }

    /// What a node says of itself that shows that this has happened to it.
    fn effect(self) -> Option<Effect> {
        match self {
            Self::FullDisk => Some(Effect::FullDisk),
            Self::WrongClock => Some(Effect::WrongClock),
            _ => None,
        }
    }
}

/// A node with the disk that it writes to, and the clock that it goes by if that can be set wrong.
pub struct Machine<'s> {
    pub node: Node<'s>,
    /// What is asked at its console.
    pub http: Http,
    pub disk: Disk,
    pub clock: Option<Clock>,
}

/// A fault that lasts.
struct Fault {
    kind: Kind,
    machines: Vec<usize>,
    until: Instant,
    /// Until its effect is seen more often than so often.
    seen: Option<(Effect, u64)>,
}

impl Fault {
    /// Whether it has lasted long enough. One whose effect was not seen yet lasts on for a while.
    fn is_over(&self, now: Instant, noticed: &Noticed) -> bool {
        let is_seen = self
            .seen
            .is_none_or(|(effect, before)| noticed.at(self.machines[0], effect) > before);
        now >= self.until && (is_seen || now >= self.until + UNSEEN)
    }
}

/// All that goes wrong.
pub struct Storm<'a, 's> {
    machines: &'a mut [Machine<'s>],
    lan: &'a Lan,
    history: &'a History,
    noticed: &'a Noticed,
    dice: Dice,
    /// Kinds that are still to come before the next round.
    deck: Vec<Kind>,
    faults: Vec<Fault>,
    /// Machines whose disk is full.
    full: BTreeSet<usize>,
    /// Machines whose disk was full while they were started last.
    unable: BTreeSet<usize>,
    /// When each was started last.
    started: Vec<Instant>,
    counts: BTreeMap<Kind, usize>,
}

impl<'a, 's> Storm<'a, 's> {
    pub fn new(
        machines: &'a mut [Machine<'s>],
        lan: &'a Lan,
        history: &'a History,
        noticed: &'a Noticed,
        dice: Dice,
    ) -> Self {
        Self {
            started: vec![Instant::now(); machines.len()],
            machines,
            lan,
            history,
            noticed,
            dice,
            deck: Vec::new(),
            faults: Vec::new(),
            full: BTreeSet::new(),
            unable: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Lets things go wrong for so long, and until everything has gone wrong once and was noticed where nodes can; then
    /// mends all of it. Returns how often each kind came.
    pub fn rage(mut self, lasts: Duration) -> BTreeMap<Kind, usize> {
        let end = Instant::now() + lasts;
        let mut next = Instant::now();
        while Instant::now() < end || !self.is_complete() {
            let (counts, noticed) = (&self.counts, self.noticed.totals());
            assert!(Instant::now() < end + HEALING, "{counts:?}, {noticed:?}");
            let noticed = self.noticed;
            self.mend(|fault| fault.is_over(Instant::now(), noticed));
            self.look_after();
            if Instant::now() >= next && self.faults.len() < AT_ONCE {
                self.strike();
                next = Instant::now() + Duration::from_millis(self.dice.below(PAUSE_MS) as u64);
            }
            sleep(TICK);
        }
        self.mend(|_| true);
        until("machines to start on a disk that was full", || {
            self.look_after();
            let answers = |machine: &usize| self.machines[*machine].http.get("/api/v1/status");
            self.unable
                .iter()
                .try_for_each(|machine| answers(machine).map(drop))
        });
        self.counts
    }

    fn is_complete(&self) -> bool {
        let noticed = self.noticed.totals();
        let mut effects = Kind::ALL.into_iter().filter_map(Kind::effect);
        self.counts.len() == Kind::ALL.len() && effects.all(|effect| noticed.contains_key(&effect))
    }

    /// The next kind of the deck that has a place to strike.
    fn strike(&mut self) {
        if self.deck.is_empty() {
            self.deck = Kind::ALL.to_vec();
            self.dice.shuffle(&mut self.deck);
        }
        for index in (0..self.deck.len()).rev() {
            let kind = self.deck[index];
            let Some(machines) = self.places(kind) else {
                continue;
            };
            self.deck.remove(index);
            let seen = kind
                .effect()
                .map(|effect| (effect, self.noticed.at(machines[0], effect)));
            self.begin(kind, &machines);
            let (shortest, spread) = LASTS_MS;
            let lasts = Duration::from_millis((shortest + self.dice.below(spread)) as u64);
            let lasts = match self.dice.once_in(LONG.0) {
                true => lasts * LONG.1,
                false => lasts,
            };
            say(&format!("{kind:?} at {machines:?} for {lasts:?}"));
            self.faults.push(Fault {
                kind,
                machines,
                until: Instant::now() + lasts,
                seen,
            });
            *self.counts.entry(kind).or_default() += 1;
            return;
        }
    }

    /// Where a fault of this kind strikes; nowhere if something else is the matter at every place.
    fn places(&mut self, kind: Kind) -> Option<Vec<usize>> {
        let taken: BTreeSet<usize> = self
            .faults
            .iter()
            .filter(|fault| fault.kind.is_of_cables() == kind.is_of_cables())
            .flat_map(|fault| fault.machines.iter().copied())
            .collect();
        let free: Vec<usize> = (0..self.machines.len())
            .filter(|index| !taken.contains(index))
            .filter(|index| kind != Kind::WrongClock || self.machines[*index].clock.is_some())
            .collect();
        if kind == Kind::Split {
            // One switch can be had beside the common one.
            if self.faults.iter().any(|fault| fault.kind == Kind::Split) {
                return None;
            }
            let mut all = free;
            self.dice.shuffle(&mut all);
            all.truncate(self.machines.len() / 2);
            return (all.len() == self.machines.len() / 2).then_some(all);
        }
        if kind == Kind::Kill && !free.is_empty() && self.dice.once_in(POWER_CUT) {
            return Some(free);
        }
        (!free.is_empty()).then(|| vec![*self.dice.pick(&free)])
    }

    fn begin(&mut self, kind: Kind, machines: &[usize]) {
        let first = machines[0];
        let host = first + 1;
        match kind {
            Kind::Kill => machines.iter().for_each(|machine| self.kill(*machine)),
            Kind::Freeze => self.machines[first].node.process().signal("STOP"),
            Kind::Restart => {
                let runs = self.runs(first);
                let ended = self.machines[first].node.terminate();
                // Before it runs it has nothing to end in order.
                if runs || ended.code != SIGTERM {
                    ended.expect(0);
                }
                self.history.note(now_ms(), first, Event::Ended);
            }
            Kind::Cut => self.lan.cut(host),
            Kind::Split => self.lan.part(&hosts(machines)),
            Kind::Narrow => {
                let kilobits = *self.dice.pick(&NARROW_KBIT);
                self.lan.narrow(host, kilobits);
            }
            Kind::FullDisk => {
                self.machines[first].disk.fill();
                self.full.insert(first);
                if !self.runs(first) {
                    self.unable.insert(first);
                }
                if self.dice.once_in(3) {
                    self.kill(first);
                    self.start(first);
                }
            }
            Kind::WrongClock => {
                let seconds = *self.dice.pick(&OFF_SECONDS);
                self.clock(first).set(seconds);
            }
        }
    }

    /// Ends the faults that are chosen.
    fn mend(&mut self, chosen: impl Fn(&Fault) -> bool) {
        let (over, lasting) = std::mem::take(&mut self.faults)
            .into_iter()
            .partition(chosen);
        self.faults = lasting;
        for Fault { kind, machines, .. } in over {
            say(&format!("{kind:?} at {machines:?} is over"));
            let first = machines[0];
            let host = first + 1;
            match kind {
                Kind::Kill => machines.into_iter().for_each(|machine| {
                    self.start(machine);
                    if self.dice.once_in(4) {
                        self.dice.pause(400);
                        self.kill(machine);
                        self.start(machine);
                    }
                }),
                Kind::Freeze => self.machines[first].node.process().signal("CONT"),
                Kind::Restart => self.start(first),
                Kind::Cut => self.lan.heal(host),
                Kind::Split => self.lan.reunite(&hosts(&machines)),
                Kind::Narrow => self.lan.widen(host),
                Kind::FullDisk => {
                    self.machines[first].disk.free();
                    self.full.remove(&first);
                }
                Kind::WrongClock => self.clock(first).set(0),
            }
        }
    }

    /// Looks whether nodes have ended by themselves, which none may but for want of room while it starts. Whoever did
    /// is started again when there is room.
    fn look_after(&mut self) {
        for index in 0..self.machines.len() {
            let unable = self.unable.contains(&index);
            let node = &mut self.machines[index].node;
            if let Some(ended) = node.has_ended() {
                assert!(
                    unable && ended.code == EXIT_DISK_FULL,
                    "{} ended by itself with {}: {}",
                    node.name(),
                    ended.code,
                    ended.stderr
                );
                say(&format!("no room to start at {index}"));
                self.history.note(now_ms(), index, Event::Ended);
                self.noticed.count(index, Effect::FullDisk);
            }
            if unable && !node.runs() && !self.full.contains(&index) {
                self.start(index);
            }
        }
    }

    /// Whether it was seen to run since it was started.
    fn runs(&self, machine: usize) -> bool {
        self.noticed
            .has_answered_since(machine, self.started[machine])
    }

    fn start(&mut self, machine: usize) {
        self.started[machine] = Instant::now();
        self.machines[machine].node.begin();
        match self.full.contains(&machine) {
            true => self.unable.insert(machine),
            false => self.unable.remove(&machine),
        };
    }

    fn kill(&mut self, machine: usize) {
        self.machines[machine].node.kill();
        self.history.note(now_ms(), machine, Event::Ended);
    }

    fn clock(&self, machine: usize) -> &Clock {
        self.machines[machine].clock.as_ref().unwrap()
    }
}

/// Numbers of hosts, which count from 1.
fn hosts(machines: &[usize]) -> Vec<usize> {
    machines.iter().map(|machine| machine + 1).collect()
}

/// Says what happens, with the time, so that it can be compared with logs.
pub fn say(what: &str) {
    let now = now_ms();
    println!("{}.{:03} {what}", now / 1_000, now % 1_000);
}

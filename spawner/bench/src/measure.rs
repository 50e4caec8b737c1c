//! Samples, and the rows they end up in.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What was measured of one subject.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

impl Samples {
    /// The value that `share` of the samples do not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn p50(&self) -> f64 {
        self.quantile(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// One subject of a row: ours, or a peer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) is_ours: bool,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) samples: usize,
}

/// What was aimed at, and whether it was reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) seen: String,
    pub(crate) is_met: bool,
}

/// One row of the report.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) targets: Vec<Target>,
    pub(crate) notes: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &str) -> Row {
        Row {
            name: name.into(),
            unit: unit.to_owned(),
            figures: Vec::new(),
            targets: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn figure(&mut self, name: &str, is_ours: bool, samples: &Samples) {
        self.figures.push(Figure {
            name: name.to_owned(),
            is_ours,
            p50: samples.p50(),
            p99: samples.p99(),
            max: samples.max(),
            samples: samples.0.len(),
        });
    }

    pub(crate) fn target(&mut self, what: &str, seen: impl std::fmt::Display, is_met: bool) {
        self.targets.push(Target {
            what: what.to_owned(),
            seen: seen.to_string(),
            is_met,
        });
    }

    pub(crate) fn note(&mut self, text: impl std::fmt::Display) {
        self.notes.push(text.to_string());
    }

    /// Our first figure.
    pub(crate) fn ours(&self) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.is_ours)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The least that `of` gives among the peers, and the greatest.
    pub(crate) fn peers(&self, of: impl Fn(&Figure) -> f64) -> (f64, f64) {
        let values = self.figures.iter().filter(|f| !f.is_ours).map(of);
        values.fold((f64::MAX, f64::MIN), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    }

    /// Our quantile is at most `times` the least of the peers'.
    pub(crate) fn at_most_best(&mut self, what: &str, times: f64, of: impl Fn(&Figure) -> f64) {
        let Some(ours) = self.ours().map(&of) else {
            return;
        };
        let ratio = ours / self.peers(of).0;
        self.target(
            what,
            format!("{ratio:.2} times the best peer"),
            ratio <= times,
        );
    }

    pub(crate) fn print(&self) {
        println!("\n{} [{}]", self.name, self.unit);
        println!(
            "  {:34} {:>11} {:>11} {:>11} {:>8}  p50 over ours",
            "", "p50", "p99", "max", "samples"
        );
        let base = self.ours().map(|figure| figure.p50);
        for figure in &self.figures {
            let over = match base {
                Some(base) if base > 0.0 => format!("{:.2}", figure.p50 / base),
                _ => "-".to_owned(),
            };
            println!(
                "  {:34} {:>11} {:>11} {:>11} {:>8}  {over:>6}",
                figure.name,
                short(figure.p50),
                short(figure.p99),
                short(figure.max),
                figure.samples
            );
        }
        for note in &self.notes {
            println!("  {note}");
        }
        for target in &self.targets {
            let word = if target.is_met { "met   " } else { "MISSED" };
            println!("  {word} {}: {}", target.what, target.seen);
        }
    }
}

/// Four digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// One round of a measurement, which appends its samples.
pub(crate) type Round<'a> = Box<dyn FnMut(&mut Vec<f64>) + 'a>;

/// One way to do the thing that a row measures. Called once per round; adds
/// samples.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    pub(crate) is_ours: bool,
    pub(crate) round: Round<'a>,
}

impl<'a> Subject<'a> {
    pub(crate) fn ours(name: &str, round: impl FnMut(&mut Vec<f64>) + 'a) -> Self {
        Subject {
            name: name.to_owned(),
            is_ours: true,
            round: Box::new(round),
        }
    }

    pub(crate) fn peer(name: &str, round: impl FnMut(&mut Vec<f64>) + 'a) -> Self {
        Subject {
            name: name.to_owned(),
            is_ours: false,
            round: Box::new(round),
        }
    }
}

/// Measures all subjects, round after round, so that a slow moment of the host
/// is everybody's. Who begins a round changes with each.
pub(crate) fn interleave(row: &mut Row, rounds: usize, mut subjects: Vec<Subject<'_>>) {
    let mut samples = vec![Samples::default(); subjects.len()];
    let count = subjects.len();
    for round in 0..rounds {
        for turn in 0..count {
            let index = (turn + round) % count;
            (subjects[index].round)(&mut samples[index].0);
        }
    }
    for (subject, samples) in subjects.iter().zip(&samples) {
        row.figure(&subject.name, subject.is_ours, samples);
    }
}

/// When a unit began, told to the thread that waits for it.
pub(crate) struct Stopwatch {
    origin: Instant,
    began_ns: AtomicU64,
    waiter: Thread,
}

impl Stopwatch {
    pub(crate) fn new() -> Stopwatch {
        Stopwatch {
            origin: Instant::now(),
            began_ns: AtomicU64::new(0),
            waiter: std::thread::current(),
        }
    }

    /// The unit's first act.
    pub(crate) fn stop(&self) {
        let now = self.now();
        self.began_ns.store(now, Ordering::Release);
        self.waiter.unpark();
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Sleeps until the unit has begun: nanoseconds since `start`. A subject
    /// that needs more than 10 s is broken.
    pub(crate) fn wait(&self, start: u64) -> f64 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let began = self.began_ns.swap(0, Ordering::Acquire);
            if began != 0 {
                return began.saturating_sub(start) as f64;
            }
            assert!(Instant::now() < deadline, "a unit did not begin in 10 s");
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
}

/// Waits until `holds`; false after `limit`.
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples = Samples((1..=101).rev().map(f64::from).collect());
        assert_eq!(
            (samples.p50(), samples.p99(), samples.max()),
            (51.0, 100.0, 101.0)
        );
        assert!(Samples::default().p50().is_nan());
    }

    #[test]
    fn a_target_compares_with_the_best_peer() {
        let mut row = Row::new("r", "ns");
        row.figure("ours", true, &Samples(vec![20.0]));
        row.figure("a", false, &Samples(vec![10.0]));
        row.figure("b", false, &Samples(vec![40.0]));
        row.at_most_best("p50", 1.0, |f| f.p50);
        row.at_most_best("p50", 2.0, |f| f.p50);
        let met: Vec<bool> = row.targets.iter().map(|t| t.is_met).collect();
        assert_eq!(met, [false, true]);
    }
}

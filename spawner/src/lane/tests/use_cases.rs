//! The shapes that a runtime gives its lanes.

use super::*;
use std::collections::BTreeMap;

/// Deadlines, and what to do then.
#[derive(Default)]
struct Wheel {
    due: BTreeMap<(Instant, u64), mpsc::Sender<u64>>,
    serial: u64,
}

impl Service for Wheel {
    type Utilities = ();

    fn init(_: LaneKey) -> Self {
        Wheel::default()
    }

    fn utilities(&self) {}

    fn next_deadline(&mut self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn on_deadline(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.due.first_entry() {
            if first.key().0 > now {
                break;
            }
            let ((_, serial), sender) = first.remove_entry();
            let _ = sender.send(serial);
        }
    }
}

#[test]
fn a_wheel_of_timers_sleeps_until_the_next_deadline() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Wheel>::new(&lanes, KEY).unwrap();
    let (fired, is_fired) = mpsc::channel();
    let begun = Instant::now();
    for millis in [60, 20, 40] {
        let fired = fired.clone();
        lane.submit(move |wheel| {
            wheel.serial += 1;
            let at = begun + Duration::from_millis(millis);
            wheel.due.insert((at, wheel.serial), fired);
        })
        .unwrap();
    }
    let order: Vec<u64> = (0..3)
        .map(|_| is_fired.recv_timeout(LONG).unwrap())
        .collect();
    assert_eq!(order, [2, 3, 1]);
    assert!(begun.elapsed() >= Duration::from_millis(60));
    // It woke for units and deadlines, not in between.
    assert!(lane.stats().batches <= 5, "{:?}", lane.stats());
}

#[test]
fn deadlines_are_served_under_a_stream_of_units() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Wheel>::new(&lanes, KEY).unwrap();
    let (fired, is_fired) = mpsc::channel();
    let at = Instant::now() + Duration::from_millis(10);
    lane.submit(move |wheel| {
        wheel.due.insert((at, 1), fired);
    })
    .unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let mut is_served = false;
    while !is_served && Instant::now() < until {
        lane.submit(|_| ()).unwrap();
        is_served = is_fired.try_recv().is_ok();
    }
    assert!(is_served);
}

#[test]
fn console_bytes_are_out_in_order_at_the_end() {
    let _watchdog = within(LONG);
    struct Console(Arc<std::sync::Mutex<Vec<u8>>>);
    impl Service for Console {
        type Utilities = ();
        fn init(_: LaneKey) -> Self {
            unreachable!("it is inserted")
        }
        fn utilities(&self) {}
    }
    let out = Arc::new(std::sync::Mutex::new(Vec::new()));
    let lanes = lanes();
    let lane = Lane::insert(&lanes, KEY, Console(out.clone())).unwrap();
    let mut expected = Vec::new();
    for line in 0..2000 {
        let bytes = format!("line {line}\n").into_bytes();
        expected.extend_from_slice(&bytes);
        lane.submit(move |console| console.0.lock().unwrap().extend_from_slice(&bytes))
            .unwrap();
    }
    lane.barrier().unwrap();
    assert_eq!(*out.lock().unwrap(), expected);
}

#[test]
fn an_idle_runner_sleeps() {
    let _watchdog = within(LONG);
    let lanes = lanes();
    let lane = Lane::<Log>::new(&lanes, KEY).unwrap();
    lane.call(|_| ()).unwrap();
    let path = lane
        .exclusive(|| std::fs::read_link("/proc/thread-self").unwrap())
        .unwrap();
    let path = std::path::Path::new("/proc").join(path).join("status");
    let switches = || {
        let text = std::fs::read_to_string(&path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("voluntary"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    std::thread::sleep(Duration::from_millis(50));
    let before = switches();
    std::thread::sleep(Duration::from_millis(500));
    // A runner that polled every 150 us would have gone to sleep 3,000 times.
    assert!(switches() - before <= 1);
}

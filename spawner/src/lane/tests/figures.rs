//! Measurements, run by hand in release:
//! `cargo test --release -p rivix-spawner --lib lane::tests::figures -- --ignored --nocapture --test-threads=1`.

use super::*;
use std::hint::black_box;
use std::sync::atomic::AtomicU64;

const UNITS: u64 = 2_000_000;

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// Nanoseconds per unit, from the first submit until the last unit has run.
fn throughput(producers: u64, send: impl Fn(u64) + Sync, finish: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..producers {
            scope.spawn(|| {
                for at in 0..UNITS / producers {
                    send(at);
                }
            });
        }
    });
    finish();
    begun.elapsed().as_nanos() as f64 / UNITS as f64
}

type Task = Box<dyn FnOnce(&mut u64) + Send>;

fn receiver(receive: impl Fn() -> Option<Task> + Send + 'static) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut state = 0;
        while let Some(task) = receive() {
            task(&mut state);
        }
        state
    })
}

struct Sum(u64);

impl Service for Sum {
    type Utilities = ();
    fn init(_: LaneKey) -> Self {
        Sum(0)
    }
    fn utilities(&self) {}
}

fn lane_once(producers: u64, capacity: u32) -> f64 {
    let lanes = lanes().with_capacity(capacity);
    let lane = Lane::<Sum>::new(&lanes, KEY).unwrap();
    let send = |at| lane.submit(move |sum| sum.0 += black_box(at)).unwrap();
    throughput(producers, send, || lane.barrier().unwrap())
}

fn crossbeam_once(producers: u64) -> f64 {
    let (sender, tasks) = crossbeam_channel::bounded::<Task>(1024);
    let end = receiver(move || tasks.recv().ok());
    let send = |at| {
        sender
            .send(Box::new(move |sum| *sum += black_box(at)))
            .unwrap()
    };
    let (done, is_done) = mpsc::channel();
    let last = sender.clone();
    let result = throughput(producers, send, move || {
        last.send(Box::new(move |_| done.send(()).unwrap()))
            .unwrap();
        is_done.recv().unwrap();
    });
    drop(sender);
    end.join().unwrap();
    result
}

fn std_once(producers: u64) -> f64 {
    let (sender, tasks) = mpsc::sync_channel::<Task>(1024);
    let end = receiver(move || tasks.recv().ok());
    let send = |at| {
        sender
            .send(Box::new(move |sum| *sum += black_box(at)))
            .unwrap()
    };
    let (done, is_done) = mpsc::channel();
    let last = sender.clone();
    let result = throughput(producers, send, move || {
        last.send(Box::new(move |_| done.send(()).unwrap()))
            .unwrap();
        is_done.recv().unwrap();
    });
    drop(sender);
    end.join().unwrap();
    result
}

#[test]
#[ignore = "a measurement"]
fn submit() {
    println!("ns per unit, median of 5; capacities of peers 1024");
    for producers in [1, 2, 4, 8] {
        let mut runs = [vec![], vec![], vec![], vec![]];
        for _ in 0..5 {
            runs[0].push(lane_once(producers, 256));
            runs[1].push(lane_once(producers, DEFAULT_CAPACITY));
            runs[2].push(crossbeam_once(producers));
            runs[3].push(std_once(producers));
        }
        let [a, b, crossbeam, std] = runs.map(median);
        println!(
            "{producers} producers: lane(256) {a:.0}, lane({DEFAULT_CAPACITY}) {b:.0}, \
             crossbeam {crossbeam:.0}, sync_channel {std:.0}"
        );
    }
}

fn percentiles(mut samples: Vec<u64>) -> String {
    samples.sort_unstable();
    let at = |share: f64| samples[((samples.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    format!("p50 {:.1}, p99 {:.1} us", at(0.5), at(0.99))
}

const WAKES: u64 = 3000;

fn paced(mut one: impl FnMut() -> u64) -> Vec<u64> {
    (0..WAKES)
        .map(|_| {
            std::thread::sleep(Duration::from_micros(200));
            one()
        })
        .collect()
}

#[test]
#[ignore = "a measurement"]
fn wake() {
    use rivix_sync::Parker;
    let epoch = Instant::now();
    let now = move || epoch.elapsed().as_nanos() as u64;
    for _ in 0..3 {
        let shared = Arc::new((Parker::new(), AtomicU64::new(0), Parker::new()));
        let other = shared.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..WAKES {
                other.0.park();
                other.1.store(now(), SeqCst);
                other.2.unpark();
            }
        });
        let bare = paced(|| {
            let begun = now();
            shared.0.unpark();
            shared.2.park();
            shared.1.load(SeqCst) - begun
        });
        thread.join().unwrap();
        let lanes = lanes();
        let lane = Lane::<Sum>::new(&lanes, KEY).unwrap();
        let woken = paced(|| {
            let begun = now();
            let shared = shared.clone();
            let other = shared.clone();
            lane.submit(move |_| {
                other.1.store(now(), SeqCst);
                other.2.unpark();
            })
            .unwrap();
            shared.2.park();
            shared.1.load(SeqCst) - begun
        });
        println!("bare {}; lane {}", percentiles(bare), percentiles(woken));
    }
}

#[test]
#[ignore = "a measurement"]
fn idle() {
    let lanes = lanes();
    let lane = Lane::<Sum>::new(&lanes, KEY).unwrap();
    let path = lane
        .exclusive(|| std::fs::read_link("/proc/thread-self").unwrap())
        .unwrap();
    let path = std::path::Path::new("/proc").join(path).join("schedstat");
    let used = || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    std::thread::sleep(Duration::from_millis(100));
    let before = used();
    std::thread::sleep(Duration::from_secs(5));
    println!("{} ns of CPU in 5 s", used() - before);
}

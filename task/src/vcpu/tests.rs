use super::*;
use crate::kernel_task::KernelTask;
use crate::testing::kernel;
use std::sync::atomic::AtomicBool;

fn set(cpus: &[u32]) -> CpuSet {
    let mut set: CpuSet = [0; affinity::WORDS];
    for cpu in cpus {
        set[*cpu as usize / 64] |= 1 << (cpu % 64);
    }
    set
}

#[test]
fn sets() {
    assert!(is_in(&set(&[3, 70]), 70) && !is_in(&set(&[3, 70]), 6));
    assert!(!is_in(&set(&[3]), 5000));
    assert!(overlap(&set(&[1, 900]), &set(&[900])) && !overlap(&set(&[1]), &set(&[2])));
}

/// What a thread of the guest loop does, without a guest.
struct Runner<'a> {
    vcpus: &'a VirtualCpus,
    task: Arc<Task>,
    memory: usize,
    tenure: Option<Tenure>,
    has_had_turn: bool,
}

impl Runner<'_> {
    /// True: in guest code, on `tenure`.
    fn enter(&mut self) -> bool {
        self.task.in_guest.store(true, Ordering::SeqCst);
        if self
            .tenure
            .is_some_and(|tenure| self.vcpus.is_valid(&tenure))
        {
            return true;
        }
        self.task.in_guest.store(false, Ordering::SeqCst);
        self.give_back();
        let mut place = Place::new(Instant::now(), self.has_had_turn);
        loop {
            self.task.kick().clear();
            match self.vcpus.take(&self.task, self.memory, 0, &mut place) {
                Taken::Got(tenure) => {
                    self.has_had_turn = false;
                    self.tenure = Some(tenure);
                    return false;
                }
                Taken::Wait(until) => {
                    self.task.kick().park_until(Some(until));
                }
            }
        }
    }

    fn leave(&mut self) {
        self.task.in_guest.store(false, Ordering::SeqCst);
        let lost = self
            .tenure
            .is_some_and(|tenure| !self.vcpus.is_valid(&tenure));
        if lost {
            self.has_had_turn = true;
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(tenure) = self.tenure.take() {
            self.vcpus.release(&self.task, &tenure);
        }
    }
}

/// Threads run, sleep, spin beyond their slice, and lose their CPUs at random: no
/// two are ever on one CPU, nor have one memory's number at once.
#[test]
fn nobody_shares_a_cpu() {
    let kernel = kernel(64);
    let vcpus = VirtualCpus::new();
    let cpus = vcpus.words.len();
    let busy: Vec<AtomicBool> = (0..cpus).map(|_| AtomicBool::new(false)).collect();
    let numbers: Vec<Vec<AtomicBool>> = (0..2)
        .map(|_| (0..cpus).map(|_| AtomicBool::new(false)).collect())
        .collect();
    let threads = 3 * cpus + 2;
    std::thread::scope(|scope| {
        for id in 0..threads {
            let (kernel, vcpus, busy, numbers) = (&kernel, &vcpus, &busy, &numbers);
            scope.spawn(move || {
                let owner = KernelTask::new(kernel, b"runner").unwrap();
                let memory = id % 2;
                let mut runner = Runner {
                    vcpus,
                    task: owner.task().clone(),
                    memory,
                    tenure: None,
                    has_had_turn: false,
                };
                runner.task.is_sleeping.store(false, Ordering::Relaxed);
                let mut seed = id as u64 + 1;
                for _ in 0..400 {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                    if !runner.enter() {
                        continue;
                    }
                    let tenure = runner.tenure.unwrap();
                    let cpu = &busy[tenure.cpu as usize];
                    let number = &numbers[memory][tenure.memory_id as usize];
                    assert!(!cpu.swap(true, Ordering::SeqCst), "two on one CPU");
                    assert!(!number.swap(true, Ordering::SeqCst), "two with one number");
                    // Guest code runs until it is kicked, or makes a call.
                    for _ in 0..seed >> 50 {
                        if runner.task.kick().is_set() {
                            break;
                        }
                        std::hint::spin_loop();
                    }
                    number.store(false, Ordering::SeqCst);
                    cpu.store(false, Ordering::SeqCst);
                    runner.leave();
                    match seed >> 40 & 15 {
                        0 => {
                            runner.task.is_sleeping.store(true, Ordering::Relaxed);
                            runner.give_back();
                            std::thread::yield_now();
                            runner.task.is_sleeping.store(false, Ordering::Relaxed);
                        }
                        1 => {
                            let revoked = vcpus.revoke(|_, at, _| at == memory);
                            while !vcpus.have_left(&revoked) {
                                std::thread::yield_now();
                            }
                        }
                        _ => {}
                    }
                }
                runner.give_back();
            });
        }
    });
    assert_eq!(vcpus.waiting.load(Ordering::SeqCst), 0);
    assert!(vcpus.state.lock().holders.is_empty());
}

#[test]
fn a_spinner_loses_its_cpu_to_one_who_waits() {
    let kernel = kernel(64);
    let vcpus = VirtualCpus::new();
    let owner = KernelTask::new(&kernel, b"spinner").unwrap();
    let other = KernelTask::new(&kernel, b"waiter").unwrap();
    // All CPUs but the last are held by tasks in guest code that never look up.
    let mut held = Vec::new();
    for _ in 0..vcpus.words.len() {
        let mut place = Place::new(Instant::now(), false);
        match vcpus.take(owner.task(), 1, 0, &mut place) {
            Taken::Got(tenure) => held.push(tenure),
            Taken::Wait(_) => break,
        }
        owner.task().in_guest.store(true, Ordering::SeqCst);
    }
    assert_eq!(held.len(), affinity::count() as usize);
    let mut place = Place::new(Instant::now(), false);
    let Taken::Wait(until) = vcpus.take(other.task(), 1, 0, &mut place) else {
        panic!("all are held");
    };
    assert!(until <= Instant::now() + SLICE);
    assert!(vcpus.has_waiters());
    std::thread::sleep(2 * SLICE);
    // The slice is over: a CPU is revoked, its holder kicked.
    assert!(matches!(
        vcpus.take(other.task(), 1, 0, &mut place),
        Taken::Wait(_)
    ));
    assert!(owner.task().kick().is_set());
    assert!(held.iter().any(|tenure| !vcpus.is_valid(tenure)));
    // The holder looks up.
    owner.task().in_guest.store(false, Ordering::SeqCst);
    assert!(matches!(
        vcpus.take(other.task(), 1, 0, &mut place),
        Taken::Got(_)
    ));
    assert!(!vcpus.has_waiters());
}

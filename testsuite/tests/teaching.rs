//! Each program of the teaching kernels, once under each numbering: exact output,
//! nothing left over. Needs the riscv64 compiler and the release `rivix` (or
//! `$RIVIX`), as `cargo xtask test` provides them; without them it says so.
//! `cargo xtask accept rcore` runs them hundreds of times.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rivix_testsuite::column;
use rivix_testsuite::teaching::{Abi, EDGES, PERSONALITY, Program, THREADS, UCORE_ONLY};
use rivix_testsuite::toolchain::{self, Machine};

/// Can programs be made and run here?
fn is_able() -> bool {
    let can = toolchain::has_compiler(Machine::Riscv64) && column::rivix_program().exists();
    if !can {
        eprintln!("skipped: no riscv64 compiler, or no release rivix");
    }
    can
}

/// All of them once, two at a time; complaints are shown together.
fn run_all(names: &[&'static str], abis: &[Abi]) {
    if !is_able() {
        return;
    }
    let jobs: Vec<_> = abis
        .iter()
        .flat_map(|&abi| names.iter().map(move |&name| (name, abi)))
        .collect();
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&(name, abi)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = Program::build(name, abi).and_then(|program| program.run());
                    let complaint = match result {
                        Ok(Ok(_)) => continue,
                        Ok(Err(complaint)) => complaint,
                        Err(error) => format!("{error:#}"),
                    };
                    let line = format!("{name} ({}): {complaint}", abi.name());
                    complaints.lock().expect("nobody panics").push(line);
                }
            });
        }
    });
    let complaints = complaints.into_inner().expect("nobody panics");
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn threads_and_what_they_share() {
    run_all(&THREADS, &Abi::ALL);
}

#[test]
fn answers_at_the_edges() {
    run_all(&EDGES, &Abi::ALL);
    run_all(&UCORE_ONLY, &[Abi::Ucore]);
}

#[test]
fn linux_has_none_of_these_calls() {
    if !is_able() {
        return;
    }
    for abi in Abi::ALL {
        let program = Program::build(PERSONALITY, abi).expect("it compiles");
        let own = program.run().expect("rivix runs");
        assert!(own.is_ok(), "{}: {own:?}", program.title());
        let outcome = program.outcome("linux").expect("rivix runs");
        let told = outcome.out();
        let wanted: Vec<_> = program
            .expected
            .lines
            .iter()
            .map(|line| line.replace(": known", ": unknown"))
            .collect();
        assert_eq!(told.lines().collect::<Vec<_>>(), wanted);
    }
}

//! Runs one program over the host's files, without the library: for trying
//! handlers by hand. `run PROG ARGS...`

use rivix_abi::resource::{Resource, Rlimit};
use rivix_fs::mount::{Namespace, NamespaceConfig};
use rivix_fs::{Caller, FdTable};
use rivix_syscalls::process::execve::ExecContext;
use rivix_task::*;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

struct Hooks;
impl KernelHooks for Hooks {
    fn foreign_program(&self, path: &[u8], why: &str) {
        eprintln!("hint: {}: {why}", String::from_utf8_lossy(path));
    }
}

struct Log;
impl tracing::Subscriber for Log {
    fn enabled(&self, meta: &tracing::Metadata<'_>) -> bool {
        *meta.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Show(String);
        impl tracing::field::Visit for Show {
            fn record_debug(&mut self, f: &tracing::field::Field, v: &dyn std::fmt::Debug) {
                self.0.push_str(&format!(" {}={v:?}", f.name()));
            }
        }
        let mut show = Show(String::new());
        event.record(&mut show);
        eprintln!("[{}]{}", event.metadata().level(), show.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn main() {
    let _ = tracing::subscriber::set_global_default(Log);
    let args: Vec<Vec<u8>> = std::env::args().skip(1).map(String::into_bytes).collect();
    let env: Vec<Vec<u8>> = std::env::vars()
        .map(|(k, v)| format!("{k}={v}").into_bytes())
        .collect();
    let kernel = Kernel::new(KernelConfig {
        engine: Arc::new(rivix_interp::Interpreter::default()),
        syscalls: rivix_syscalls::entry,
        max_tasks: 4096,
        max_idle_threads: 8,
        instruction_budget: None,
        hostname: b"rivix".to_vec(),
        memory: Default::default(),
        hooks: Arc::new(Hooks),
    })
    .unwrap();
    let ns = Namespace::new(NamespaceConfig::over_host("/".into())).unwrap();
    let spawn_kernel = Arc::downgrade(&kernel);
    ns.set_spawn(Arc::new(move |name: &str, job| {
        let kernel = spawn_kernel.upgrade().ok_or(rivix_abi::Errno::ESHUTDOWN)?;
        kernel
            .spawner()
            .spawn_named(name, move |_| job())
            .map_err(|error| rivix_task::spawn_errno(&error))
    }));
    let weak: std::sync::Weak<Kernel> = Arc::downgrade(&kernel);
    ns.set_proc_info(weak);
    let cwd = std::env::current_dir().unwrap();
    let fs = ns
        .context(cwd.as_os_str().as_encoded_bytes(), 0o22)
        .unwrap();
    let files = FdTable::new();
    for fd in [
        std::io::stdin().as_fd(),
        std::io::stdout().as_fd(),
        std::io::stderr().as_fd(),
    ] {
        let file = ns.adopt(fd.try_clone_to_owned().unwrap()).unwrap();
        files.insert_lowest(file, false, 0, 1024).unwrap();
    }
    let mut limits = [Rlimit::UNLIMITED; Resource::COUNT];
    limits[Resource::Stack as usize].cur = 8 << 20;
    limits[Resource::Nofile as usize] = Rlimit {
        cur: 1024,
        max: 4096,
    };
    limits[Resource::Core as usize].cur = 0;
    let creds = Creds::of_host();
    let caller = Caller {
        uid: creds.uid,
        gid: creds.gid,
        nofile: 1024,
        fsize: u64::MAX,
        ..Default::default()
    };
    let context = ExecContext {
        kernel: &kernel,
        fs: &fs,
        caller,
        creds: &creds,
        limits: &limits,
    };
    let program = context.open(&args[0]).expect("open");
    let new = match context.load(program, args[0].clone(), args.clone(), env) {
        Ok(new) => new,
        Err(error) => {
            eprintln!("cannot load: {error:?}");
            std::process::exit(126);
        }
    };
    let started = kernel
        .start_process(ProcessRequest {
            space: new.space,
            program: new.program,
            entry: new.entry,
            sp: new.sp,
            name: new.name,
            files,
            fs,
            creds,
            limits,
            terminal: None,
            ignored: 0,
            abi: rivix_task::Abi::Linux,
        })
        .unwrap();
    let report = started.watch.wait_until(None).unwrap();
    let stats = kernel.report();
    let done = kernel.shutdown(ShutdownReason::Requested, Duration::from_secs(5));
    if std::env::var_os("STATS").is_some() {
        eprintln!(
            "{:?} {stats:#?} clean={done} after={:?}",
            report,
            kernel.report().pools
        );
    }
    std::process::exit(match report.status {
        ExitStatus::Code(code) => code.into(),
        ExitStatus::Signal { signal, .. } => 128 + i32::from(signal.number()),
    });
}

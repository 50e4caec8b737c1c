//! The calls of the uCore tutorial's kernel.

use super::{calls, files, memory, process, sync, threads};

calls! {
    24 dup files::dup;
    56 openat files::open_ucore;
    57 close files::close;
    59 pipe2 files::pipe;
    63 read files::read;
    64 write files::write;
    93 exit process::exit;
    124 sched_yield threads::sched_yield;
    129 kill process::kill_ucore;
    140 setpriority threads::set_priority;
    169 gettimeofday process::gettimeofday;
    172 getpid process::getpid;
    173 getppid process::getppid;
    178 gettid threads::gettid;
    214 sbrk memory::sbrk;
    215 munmap memory::munmap;
    220 clone process::fork;
    221 execve process::exec;
    222 mmap memory::mmap;
    260 wait4 process::waitpid_ucore;
    400 spawn process::spawn;
    410 task_info process::task_info;
    460 thread_create threads::create;
    462 waittid threads::waittid;
    463 mutex_create sync::mutex_create;
    464 mutex_lock sync::mutex_lock;
    466 mutex_unlock sync::mutex_unlock;
    467 semaphore_create sync::semaphore_create;
    468 semaphore_up sync::semaphore_up;
    469 enable_deadlock_detect sync::enable_deadlock_detect;
    470 semaphore_down sync::semaphore_down;
    471 condvar_create sync::condvar_create;
    472 condvar_signal sync::condvar_signal;
    473 condvar_wait sync::condvar_wait;
}

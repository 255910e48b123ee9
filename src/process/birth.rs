//! How a child comes to be, and how it is told what became of it: the one place where a process is copied. The child shares this process's memory until it
//! becomes its program (`CLONE_VFORK`), so nothing is copied for it: that takes half the time of a fork. All unsafe code
//! of the program is here and in `descriptor`.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
};

use nix::{
    libc,
    sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask},
    unistd::Pid,
};

use crate::decide::event::NodeExit;

/// Enough for system calls that take everything they need ready-made.
const STACK: usize = 64 * 1024;

/// Everything a child needs to become its program, made ready beforehand.
#[derive(Debug)]
pub(super) struct Plan {
    /// The program's path.
    pub program: CString,
    /// Its arguments, the program's name first.
    pub arguments: Vec<CString>,
    /// Its environment, `NAME=value`.
    pub environment: Vec<CString>,
    /// Its working directory.
    pub folder: CString,
    /// What becomes its stdin, stdout and stderr; where there is none, it has ours.
    pub streams: [Option<OwnedFd>; 3],
    /// A descriptor that it inherits besides.
    pub kept: Option<OwnedFd>,
    /// The signal that it gets when the thread that starts it ends.
    pub at_our_end: Signal,
    /// Whether it leads a process group of its own.
    pub own_group: bool,
}

/// What the child reads while it shares our memory, and where it says why it could not become its program.
struct Shared<'a> {
    plan: &'a Plan,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    parent: libc::pid_t,
    error: c_int,
}

/// Reaps a child that has ended.
///
/// # Errors
/// `WouldBlock` where it has not, else what the system says.
pub(super) fn reap(pid: Pid) -> io::Result<NodeExit> {
    let mut status = 0;
    // `nix` knows no real-time signals, and loses the end of whom one of them ended.
    #[expect(unsafe_code, reason = "one system call that writes to a local")]
    // SAFETY: the pointer is valid for the call.
    let reaped = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) };
    match reaped {
        -1 => Err(io::Error::last_os_error()),
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ if libc::WIFEXITED(status) => Ok(NodeExit::Code(libc::WEXITSTATUS(status))),
        _ => Ok(NodeExit::Signal(libc::WTERMSIG(status))),
    }
}

/// Starts a child; the descriptor tells of its end.
///
/// # Errors
/// Where the system refuses it, with the reason, such as `Exec format error` for another machine's program. Unlike
/// execvp(3) no shell is asked to read what the kernel refuses.
pub(super) fn start(plan: &Plan) -> io::Result<(Pid, OwnedFd)> {
    let pointers = |texts: &[CString]| {
        texts.iter().map(|text| text.as_ptr()).chain(std::iter::once(ptr::null())).collect::<Vec<_>>()
    };
    let mut shared = Shared {
        plan,
        arguments: pointers(&plan.arguments),
        environment: pointers(&plan.environment),
        parent: nix::unistd::getpid().as_raw(),
        error: 0,
    };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let mut descriptor: RawFd = -1;
    let mut before = SigSet::empty();
    // A handler of ours that ran in the child would write into our memory.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    #[expect(unsafe_code, reason = "no safe way starts a child without copying the process")]
    // SAFETY: this thread stands still until the child has become its program or has ended, so `shared`, `stack` and what
    // they point to outlive its use of them; `become_program` only makes system calls. The stack grows down from its end.
    let pid = unsafe {
        libc::clone(
            become_program,
            stack.as_mut_ptr_range().end.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
            (&raw mut shared).cast(),
            &raw mut descriptor,
        )
    };
    let refused = io::Error::last_os_error();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    if pid < 0 {
        return Err(refused);
    }
    #[expect(unsafe_code, reason = "the kernel has just made this descriptor for us")]
    // SAFETY: `CLONE_PIDFD` stored a descriptor that nobody else owns.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let pid = Pid::from_raw(pid);
    // The compiler does not see the child's write.
    #[expect(unsafe_code, reason = "a volatile read of a local")]
    // SAFETY: it is a local that is alive and initialised, and the child does not share it any more.
    let error = unsafe { ptr::read_volatile(&raw const shared.error) };
    if error != 0 {
        nix::sys::wait::waitpid(pid, None)?;
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok((pid, descriptor))
}

/// Runs in the child, in our memory: system calls only.
extern "C" fn become_program(shared: *mut c_void) -> c_int {
    let shared = shared.cast::<Shared<'_>>();
    #[expect(unsafe_code, reason = "the way the kernel hands the argument over")]
    // SAFETY: `start` passes a pointer to its own `Shared` and stands still meanwhile.
    let shared = unsafe { &mut *shared };
    if prepare(shared.plan, shared.parent).is_some() {
        #[expect(unsafe_code, reason = "the last step")]
        // SAFETY: texts end with a zero, lists with a null pointer.
        unsafe {
            libc::execve(shared.plan.program.as_ptr(), shared.arguments.as_ptr(), shared.environment.as_ptr());
        }
    }
    let error = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    #[expect(
        unsafe_code,
        reason = "the compiler may not keep this for later; and a child must not run our exit handlers"
    )]
    // SAFETY: it is our parent's local, which is alive.
    unsafe {
        ptr::write_volatile(&raw mut shared.error, error);
        libc::_exit(127)
    }
}

/// Sets up everything that survives becoming the program; none where a step failed, and errno says why.
fn prepare(plan: &Plan, parent: libc::pid_t) -> Option<()> {
    let done = |result: c_int| (result != -1).then_some(());
    #[expect(unsafe_code, reason = "each of these is one system call with arguments that were made ready")]
    // SAFETY: system calls on descriptors that the plan owns and texts that end with a zero; signal dispositions are the
    // child's own (`CLONE_SIGHAND` is not set).
    unsafe {
        done(libc::prctl(libc::PR_SET_PDEATHSIG, plan.at_our_end as libc::c_ulong))?;
        if libc::getppid() != parent {
            // The parent ended before the line above: no signal would come any more.
            *libc::__errno_location() = libc::ESRCH;
            return None;
        }
        if plan.own_group {
            done(libc::setpgid(0, 0))?;
        }
        done(libc::chdir(plan.folder.as_ptr()))?;
        for (number, stream) in (0..).zip(&plan.streams) {
            if let Some(stream) = stream {
                done(libc::dup2(stream.as_raw_fd(), number))?;
            }
        }
        if let Some(kept) = &plan.kept {
            done(libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0))?;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        for signal in 1..libc::SIGRTMIN() {
            // What we handle, and SIGPIPE, which the standard library ignores for us, is the program's own business.
            // What our own parent had us ignore stays ignored. SIGKILL and SIGSTOP refuse, which is fine.
            let known = libc::sigaction(signal, ptr::null(), &raw mut action) == 0;
            if known && (action.sa_sigaction != libc::SIG_IGN || signal == libc::SIGPIPE) {
                action = std::mem::zeroed();
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        done(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()))
    }
}

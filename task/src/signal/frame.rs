//! Signal frames: what a handler finds, and what rt_sigreturn(2) takes back.

use crate::current::CurrentTask;
use rivix_abi::signal::*;
use rivix_abi::{Errno, Signal, UserAddress, UserRef};
use rivix_isa::{Registers, reg};

/// fcsr's defined bits: frm and fflags.
const FCSR_MASK: u32 = 0xff;

impl CurrentTask {
    fn is_on_altstack(&self, sp: u64) -> bool {
        let stack = &self.altstack;
        // AUTODISARM disarms on entry, so it never counts as "on" (sigaltstack(2)).
        stack.flags as u32 & SS_AUTODISARM == 0
            && stack.flags & SS_DISABLE == 0
            && sp > stack.sp
            && sp.wrapping_sub(stack.sp) <= stack.size
    }

    /// Sets registers so that the handler runs next. EFAULT: no room for the frame.
    pub(crate) fn push_frame(
        &mut self,
        signal: Signal,
        info: &SigInfo,
        action: &KSigAction,
        mask: u64,
    ) -> Result<(), Errno> {
        let flags = SigActionFlags::from_bits_truncate(action.flags);
        let sp = self.regs.x[reg::SP];
        let on_stack = self.is_on_altstack(sp);
        let has_altstack = self.altstack.flags & SS_DISABLE == 0 && self.altstack.size != 0;
        let top = if flags.contains(SigActionFlags::ONSTACK) && has_altstack && !on_stack {
            self.altstack.sp.wrapping_add(self.altstack.size)
        } else {
            sp
        };
        let at = top.wrapping_sub(size_of::<SigFrame>() as u64) & !15;
        // A frame that would run off the alternate stack it is on is an overflow.
        if on_stack && !self.is_on_altstack(at) {
            return Err(Errno::EFAULT);
        }

        let mut frame: SigFrame = bytemuck::Zeroable::zeroed();
        frame.info = *info;
        frame.uc.stack = self.reported_altstack(sp);
        frame.uc.mask = mask;
        let context = &mut frame.uc.mcontext;
        context.pc = self.regs.pc;
        context.x.copy_from_slice(&self.regs.x[1..]);
        context.f = self.regs.f;
        context.fcsr = self.regs.fcsr;
        self.mm()
            .write_bytes(UserAddress(at), bytemuck::bytes_of(&frame))?;

        if self.altstack.flags as u32 & SS_AUTODISARM != 0 {
            self.altstack = crate::current::disabled_altstack();
        }
        let x = &mut self.regs.x;
        x[reg::RA] = self.memory.program.sigreturn;
        x[reg::SP] = at;
        x[reg::A0] = u64::from(signal.number());
        x[reg::A1] = at;
        x[reg::A2] = at + std::mem::offset_of!(SigFrame, uc) as u64;
        self.regs.pc = action.handler & !1;
        Ok(())
    }

    /// The alternate stack as sigaltstack(2) and frames show it.
    pub fn reported_altstack(&self, sp: u64) -> StackT {
        let mut stack = self.altstack;
        if stack.size == 0 {
            stack.flags = SS_DISABLE | (stack.flags as u32 & SS_AUTODISARM) as i32;
        } else if self.is_on_altstack(sp) {
            stack.flags |= SS_ONSTACK;
        }
        stack
    }

    /// sigaltstack(2)'s setting half.
    pub fn set_altstack(&mut self, new: StackT) -> Result<(), Errno> {
        if self.is_on_altstack(self.regs.x[reg::SP]) {
            return Err(Errno::EPERM);
        }
        let mode = (new.flags as u32 & !SS_AUTODISARM) as i32;
        match mode {
            SS_DISABLE => {
                self.altstack = StackT {
                    sp: 0,
                    flags: new.flags,
                    pad: 0,
                    size: 0,
                };
            }
            0 | SS_ONSTACK => {
                if new.size < MINSIGSTKSZ {
                    return Err(Errno::ENOMEM);
                }
                let flags = (new.flags as u32 & SS_AUTODISARM) as i32;
                self.altstack = StackT {
                    flags,
                    pad: 0,
                    ..new
                };
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// rt_sigreturn(2). A frame that does not hold what we wrote is a SIGSEGV.
    pub fn sigreturn(&mut self) {
        self.restart_block = None;
        let at = UserAddress(self.regs.x[reg::SP]);
        if self.restore_frame(at).is_err() {
            self.force_segv(at.0);
        }
    }

    fn restore_frame(&mut self, at: UserAddress) -> Result<(), Errno> {
        let frame: SigFrame = self.mm().read(UserRef::new(at))?;
        let context = &frame.uc.mcontext;
        // Only the END header may follow: we never write an extension.
        if context.reserved != 0 || context.end != [0, 0] {
            return Err(Errno::EINVAL);
        }
        self.set_signal_mask(frame.uc.mask);
        let mut regs = Registers {
            pc: context.pc,
            ..Registers::default()
        };
        regs.x[1..].copy_from_slice(&context.x);
        regs.f = context.f;
        regs.fcsr = context.fcsr & FCSR_MASK;
        self.regs = regs;
        // The stack in use cannot be changed, nor does a bad one matter here.
        let _ = self.set_altstack(StackT {
            flags: frame.uc.stack.flags & !SS_ONSTACK,
            ..frame.uc.stack
        });
        Ok(())
    }

    /// SIGSEGV for a frame that cannot be written or read; fatal when it is
    /// SIGSEGV's own handler that does not fit.
    pub(crate) fn force_segv(&self, addr: u64) {
        let _ = addr;
        self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
    }
}

#[cfg(all(test, not(rivix_model)))]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// The offsets that unwinders and libcs compile in.
    #[test]
    fn the_frame_has_linux_layout() {
        assert_eq!(size_of::<SigFrame>(), 1088);
        assert_eq!(size_of::<SigInfo>(), 128);
        assert_eq!(offset_of!(SigFrame, uc), 128);
        assert_eq!(offset_of!(UContext, stack), 16);
        assert_eq!(offset_of!(UContext, mask), 40);
        assert_eq!(offset_of!(UContext, mcontext), 176);
        assert_eq!(offset_of!(SigContext, f), 256);
        assert_eq!(offset_of!(SigContext, fcsr), 512);
        assert_eq!(offset_of!(SigContext, reserved), 772);
        assert_eq!(offset_of!(SigContext, end), 776);
        assert_eq!(size_of::<SigContext>(), 784);
    }
}

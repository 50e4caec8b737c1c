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
        let has_altstack = self.altstack.size != 0;
        let top = if flags.contains(SigActionFlags::ONSTACK) && has_altstack && !on_stack {
            self.altstack.sp.wrapping_add(self.altstack.size)
        } else {
            sp
        };
        let size = size_of::<SigFrame>() as u64;
        // A frame that would run off the alternate stack it is on is an overflow.
        if on_stack && !self.is_on_altstack(sp.wrapping_sub(size)) {
            return Err(Errno::EFAULT);
        }
        let at = top.wrapping_sub(size) & !15;

        let mut frame: SigFrame = bytemuck::Zeroable::zeroed();
        frame.info = *info;
        // As it was set: whether it is in use is for sigaltstack(2) to tell.
        frame.uc.stack = self.altstack;
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
        let use_now = if self.altstack.size == 0 {
            SS_DISABLE
        } else if self.is_on_altstack(sp) {
            SS_ONSTACK
        } else {
            0
        };
        let kept = (self.altstack.flags as u32 & SS_AUTODISARM) as i32;
        StackT {
            flags: use_now | kept,
            ..self.altstack
        }
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
                self.altstack = StackT { pad: 0, ..new };
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// rt_sigreturn(2). A frame that does not hold what we wrote is a SIGSEGV, raised
    /// once the mask and the registers have been taken back as far as they could be.
    pub fn sigreturn(&mut self) {
        self.restart_block = None;
        let at = UserAddress(self.regs.x[reg::SP]);
        if self.restore_frame(at).is_err() {
            self.regs.x[reg::A0] = 0;
            self.force_signal(SigInfo::kernel(Signal::SIGSEGV));
        }
    }

    fn restore_frame(&mut self, at: UserAddress) -> Result<(), Errno> {
        const UC: u64 = std::mem::offset_of!(SigFrame, uc) as u64;
        const MASK: u64 = UC + std::mem::offset_of!(UContext, mask) as u64;
        let mask: u64 = self.mm().read(UserRef::new(at.offset(MASK)?))?;
        self.set_signal_mask(mask);
        let frame: SigFrame = self.mm().read(UserRef::new(at))?;
        let context = &frame.uc.mcontext;
        let mut regs = Registers {
            pc: context.pc,
            ..Registers::default()
        };
        regs.x[1..].copy_from_slice(&context.x);
        regs.f = context.f;
        regs.fcsr = context.fcsr & FCSR_MASK;
        self.regs = regs;
        // Only the END header may follow: we never write an extension.
        if context.reserved != 0 || context.end != [0, 0] {
            return Err(Errno::EINVAL);
        }
        // The stack in use cannot be changed, nor does a bad one matter here.
        let _ = self.set_altstack(frame.uc.stack);
        Ok(())
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

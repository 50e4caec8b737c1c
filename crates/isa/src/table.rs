//! The instruction table.
//!
//! `for_each_insn!` hands the whole table to another macro, so that whoever
//! needs one thing per instruction (this module, [`crate::Execute`], an engine)
//! derives it and cannot forget a row.
//!
//! A base row is `method Op Format mask bits`, below its extension. A word is
//! that instruction when `word & mask == bits` and its format accepts the
//! operand fields (reserved rounding modes and unknown CSRs are refused there).
//!
//! A compressed row is `name Op Format mask bits`: a 16-bit encoding and the op
//! it expands to. Rows are tried in order, so a special case (c.addi16sp,
//! c.ebreak) stands before the general form.

use crate::extension::Extension;

/// Calls `$callback!` with the instruction table.
#[macro_export]
macro_rules! for_each_insn {
    ($callback:ident) => {
        $callback! {
            base {
                I {
                    lui Lui U 0x0000_007f 0x0000_0037;
                    auipc Auipc U 0x0000_007f 0x0000_0017;
                    jal Jal J 0x0000_007f 0x0000_006f;
                    jalr Jalr Jalr 0x0000_707f 0x0000_0067;
                    beq Beq Branch 0x0000_707f 0x0000_0063;
                    bne Bne Branch 0x0000_707f 0x0000_1063;
                    blt Blt Branch 0x0000_707f 0x0000_4063;
                    bge Bge Branch 0x0000_707f 0x0000_5063;
                    bltu Bltu Branch 0x0000_707f 0x0000_6063;
                    bgeu Bgeu Branch 0x0000_707f 0x0000_7063;
                    lb Lb Load 0x0000_707f 0x0000_0003;
                    lh Lh Load 0x0000_707f 0x0000_1003;
                    lw Lw Load 0x0000_707f 0x0000_2003;
                    ld Ld Load 0x0000_707f 0x0000_3003;
                    lbu Lbu Load 0x0000_707f 0x0000_4003;
                    lhu Lhu Load 0x0000_707f 0x0000_5003;
                    lwu Lwu Load 0x0000_707f 0x0000_6003;
                    sb Sb Store 0x0000_707f 0x0000_0023;
                    sh Sh Store 0x0000_707f 0x0000_1023;
                    sw Sw Store 0x0000_707f 0x0000_2023;
                    sd Sd Store 0x0000_707f 0x0000_3023;
                    addi Addi I 0x0000_707f 0x0000_0013;
                    slti Slti I 0x0000_707f 0x0000_2013;
                    sltiu Sltiu I 0x0000_707f 0x0000_3013;
                    xori Xori I 0x0000_707f 0x0000_4013;
                    ori Ori I 0x0000_707f 0x0000_6013;
                    andi Andi I 0x0000_707f 0x0000_7013;
                    slli Slli Shift64 0xfc00_707f 0x0000_1013;
                    srli Srli Shift64 0xfc00_707f 0x0000_5013;
                    srai Srai Shift64 0xfc00_707f 0x4000_5013;
                    add Add R 0xfe00_707f 0x0000_0033;
                    sub Sub R 0xfe00_707f 0x4000_0033;
                    sll Sll R 0xfe00_707f 0x0000_1033;
                    slt Slt R 0xfe00_707f 0x0000_2033;
                    sltu Sltu R 0xfe00_707f 0x0000_3033;
                    xor Xor R 0xfe00_707f 0x0000_4033;
                    srl Srl R 0xfe00_707f 0x0000_5033;
                    sra Sra R 0xfe00_707f 0x4000_5033;
                    or Or R 0xfe00_707f 0x0000_6033;
                    and And R 0xfe00_707f 0x0000_7033;
                    addiw Addiw I 0x0000_707f 0x0000_001b;
                    slliw Slliw Shift32 0xfe00_707f 0x0000_101b;
                    srliw Srliw Shift32 0xfe00_707f 0x0000_501b;
                    sraiw Sraiw Shift32 0xfe00_707f 0x4000_501b;
                    addw Addw R 0xfe00_707f 0x0000_003b;
                    subw Subw R 0xfe00_707f 0x4000_003b;
                    sllw Sllw R 0xfe00_707f 0x0000_103b;
                    srlw Srlw R 0xfe00_707f 0x0000_503b;
                    sraw Sraw R 0xfe00_707f 0x4000_503b;
                    // Every fm, predecessor, successor, rd and rs1 is legal: those not yet
                    // defined act as a full fence ("fence.tso" and "pause" are among them).
                    fence Fence Fence 0x0000_707f 0x0000_000f;
                    ecall Ecall Nullary 0xffff_ffff 0x0000_0073;
                    ebreak Ebreak Nullary 0xffff_ffff 0x0010_0073;
                }
                Zifencei {
                    // The unused fields are to be ignored (Zifencei, forward compatibility).
                    fence_i FenceI FenceI 0x0000_707f 0x0000_100f;
                }
                Zicsr {
                    csrrw Csrrw Csr 0x0000_707f 0x0000_1073;
                    csrrs Csrrs Csr 0x0000_707f 0x0000_2073;
                    csrrc Csrrc Csr 0x0000_707f 0x0000_3073;
                    csrrwi Csrrwi CsrImm 0x0000_707f 0x0000_5073;
                    csrrsi Csrrsi CsrImm 0x0000_707f 0x0000_6073;
                    csrrci Csrrci CsrImm 0x0000_707f 0x0000_7073;
                }
                M {
                    mul Mul R 0xfe00_707f 0x0200_0033;
                    mulh Mulh R 0xfe00_707f 0x0200_1033;
                    mulhsu Mulhsu R 0xfe00_707f 0x0200_2033;
                    mulhu Mulhu R 0xfe00_707f 0x0200_3033;
                    div Div R 0xfe00_707f 0x0200_4033;
                    divu Divu R 0xfe00_707f 0x0200_5033;
                    rem Rem R 0xfe00_707f 0x0200_6033;
                    remu Remu R 0xfe00_707f 0x0200_7033;
                    mulw Mulw R 0xfe00_707f 0x0200_003b;
                    divw Divw R 0xfe00_707f 0x0200_403b;
                    divuw Divuw R 0xfe00_707f 0x0200_503b;
                    remw Remw R 0xfe00_707f 0x0200_603b;
                    remuw Remuw R 0xfe00_707f 0x0200_703b;
                }
                A {
                    lr_w LrW Lr 0xf9f0_707f 0x1000_202f;
                    sc_w ScW Amo 0xf800_707f 0x1800_202f;
                    amoswap_w AmoswapW Amo 0xf800_707f 0x0800_202f;
                    amoadd_w AmoaddW Amo 0xf800_707f 0x0000_202f;
                    amoxor_w AmoxorW Amo 0xf800_707f 0x2000_202f;
                    amoand_w AmoandW Amo 0xf800_707f 0x6000_202f;
                    amoor_w AmoorW Amo 0xf800_707f 0x4000_202f;
                    amomin_w AmominW Amo 0xf800_707f 0x8000_202f;
                    amomax_w AmomaxW Amo 0xf800_707f 0xa000_202f;
                    amominu_w AmominuW Amo 0xf800_707f 0xc000_202f;
                    amomaxu_w AmomaxuW Amo 0xf800_707f 0xe000_202f;
                    lr_d LrD Lr 0xf9f0_707f 0x1000_302f;
                    sc_d ScD Amo 0xf800_707f 0x1800_302f;
                    amoswap_d AmoswapD Amo 0xf800_707f 0x0800_302f;
                    amoadd_d AmoaddD Amo 0xf800_707f 0x0000_302f;
                    amoxor_d AmoxorD Amo 0xf800_707f 0x2000_302f;
                    amoand_d AmoandD Amo 0xf800_707f 0x6000_302f;
                    amoor_d AmoorD Amo 0xf800_707f 0x4000_302f;
                    amomin_d AmominD Amo 0xf800_707f 0x8000_302f;
                    amomax_d AmomaxD Amo 0xf800_707f 0xa000_302f;
                    amominu_d AmominuD Amo 0xf800_707f 0xc000_302f;
                    amomaxu_d AmomaxuD Amo 0xf800_707f 0xe000_302f;
                }
                F {
                    flw Flw FLoad 0x0000_707f 0x0000_2007;
                    fsw Fsw FStore 0x0000_707f 0x0000_2027;
                    fmadd_s FmaddS F4 0x0600_007f 0x0000_0043;
                    fmsub_s FmsubS F4 0x0600_007f 0x0000_0047;
                    fnmsub_s FnmsubS F4 0x0600_007f 0x0000_004b;
                    fnmadd_s FnmaddS F4 0x0600_007f 0x0000_004f;
                    fadd_s FaddS F3Rm 0xfe00_007f 0x0000_0053;
                    fsub_s FsubS F3Rm 0xfe00_007f 0x0800_0053;
                    fmul_s FmulS F3Rm 0xfe00_007f 0x1000_0053;
                    fdiv_s FdivS F3Rm 0xfe00_007f 0x1800_0053;
                    fsqrt_s FsqrtS F2Rm 0xfff0_007f 0x5800_0053;
                    fsgnj_s FsgnjS F3 0xfe00_707f 0x2000_0053;
                    fsgnjn_s FsgnjnS F3 0xfe00_707f 0x2000_1053;
                    fsgnjx_s FsgnjxS F3 0xfe00_707f 0x2000_2053;
                    fmin_s FminS F3 0xfe00_707f 0x2800_0053;
                    fmax_s FmaxS F3 0xfe00_707f 0x2800_1053;
                    fcvt_w_s FcvtWS FToXRm 0xfff0_007f 0xc000_0053;
                    fcvt_wu_s FcvtWuS FToXRm 0xfff0_007f 0xc010_0053;
                    fcvt_l_s FcvtLS FToXRm 0xfff0_007f 0xc020_0053;
                    fcvt_lu_s FcvtLuS FToXRm 0xfff0_007f 0xc030_0053;
                    fmv_x_w FmvXW FToX 0xfff0_707f 0xe000_0053;
                    feq_s FeqS FCompare 0xfe00_707f 0xa000_2053;
                    flt_s FltS FCompare 0xfe00_707f 0xa000_1053;
                    fle_s FleS FCompare 0xfe00_707f 0xa000_0053;
                    fclass_s FclassS FToX 0xfff0_707f 0xe000_1053;
                    fcvt_s_w FcvtSW XToFRm 0xfff0_007f 0xd000_0053;
                    fcvt_s_wu FcvtSWu XToFRm 0xfff0_007f 0xd010_0053;
                    fcvt_s_l FcvtSL XToFRm 0xfff0_007f 0xd020_0053;
                    fcvt_s_lu FcvtSLu XToFRm 0xfff0_007f 0xd030_0053;
                    fmv_w_x FmvWX XToF 0xfff0_707f 0xf000_0053;
                }
                D {
                    fld Fld FLoad 0x0000_707f 0x0000_3007;
                    fsd Fsd FStore 0x0000_707f 0x0000_3027;
                    fmadd_d FmaddD F4 0x0600_007f 0x0200_0043;
                    fmsub_d FmsubD F4 0x0600_007f 0x0200_0047;
                    fnmsub_d FnmsubD F4 0x0600_007f 0x0200_004b;
                    fnmadd_d FnmaddD F4 0x0600_007f 0x0200_004f;
                    fadd_d FaddD F3Rm 0xfe00_007f 0x0200_0053;
                    fsub_d FsubD F3Rm 0xfe00_007f 0x0a00_0053;
                    fmul_d FmulD F3Rm 0xfe00_007f 0x1200_0053;
                    fdiv_d FdivD F3Rm 0xfe00_007f 0x1a00_0053;
                    fsqrt_d FsqrtD F2Rm 0xfff0_007f 0x5a00_0053;
                    fsgnj_d FsgnjD F3 0xfe00_707f 0x2200_0053;
                    fsgnjn_d FsgnjnD F3 0xfe00_707f 0x2200_1053;
                    fsgnjx_d FsgnjxD F3 0xfe00_707f 0x2200_2053;
                    fmin_d FminD F3 0xfe00_707f 0x2a00_0053;
                    fmax_d FmaxD F3 0xfe00_707f 0x2a00_1053;
                    fcvt_s_d FcvtSD F2Rm 0xfff0_007f 0x4010_0053;
                    fcvt_d_s FcvtDS F2Rm 0xfff0_007f 0x4200_0053;
                    feq_d FeqD FCompare 0xfe00_707f 0xa200_2053;
                    flt_d FltD FCompare 0xfe00_707f 0xa200_1053;
                    fle_d FleD FCompare 0xfe00_707f 0xa200_0053;
                    fclass_d FclassD FToX 0xfff0_707f 0xe200_1053;
                    fcvt_w_d FcvtWD FToXRm 0xfff0_007f 0xc200_0053;
                    fcvt_wu_d FcvtWuD FToXRm 0xfff0_007f 0xc210_0053;
                    fcvt_l_d FcvtLD FToXRm 0xfff0_007f 0xc220_0053;
                    fcvt_lu_d FcvtLuD FToXRm 0xfff0_007f 0xc230_0053;
                    fmv_x_d FmvXD FToX 0xfff0_707f 0xe200_0053;
                    fcvt_d_w FcvtDW XToFRm 0xfff0_007f 0xd200_0053;
                    fcvt_d_wu FcvtDWu XToFRm 0xfff0_007f 0xd210_0053;
                    fcvt_d_l FcvtDL XToFRm 0xfff0_007f 0xd220_0053;
                    fcvt_d_lu FcvtDLu XToFRm 0xfff0_007f 0xd230_0053;
                    fmv_d_x FmvDX XToF 0xfff0_707f 0xf200_0053;
                }
            }
            compressed {
                c_addi4spn Addi Addi4spn 0xe003 0x0000;
                c_fld Fld LoadD 0xe003 0x2000;
                c_lw Lw LoadW 0xe003 0x4000;
                c_ld Ld LoadD 0xe003 0x6000;
                c_fsd Fsd StoreD 0xe003 0xa000;
                c_sw Sw StoreW 0xe003 0xc000;
                c_sd Sd StoreD 0xe003 0xe000;
                c_addi Addi AddImm 0xe003 0x0001;
                c_addiw Addiw AddImmNotZero 0xe003 0x2001;
                c_li Addi LoadImm 0xe003 0x4001;
                c_addi16sp Addi Addi16sp 0xef83 0x6101;
                c_lui Lui Lui 0xe003 0x6001;
                c_srli Srli ShiftShort 0xec03 0x8001;
                c_srai Srai ShiftShort 0xec03 0x8401;
                c_andi Andi AndImm 0xec03 0x8801;
                c_sub Sub Arith 0xfc63 0x8c01;
                c_xor Xor Arith 0xfc63 0x8c21;
                c_or Or Arith 0xfc63 0x8c41;
                c_and And Arith 0xfc63 0x8c61;
                c_subw Subw Arith 0xfc63 0x9c01;
                c_addw Addw Arith 0xfc63 0x9c21;
                c_j Jal Jump 0xe003 0xa001;
                c_beqz Beq Branch 0xe003 0xc001;
                c_bnez Bne Branch 0xe003 0xe001;
                c_slli Slli Shift 0xe003 0x0002;
                c_fldsp Fld FloadSpD 0xe003 0x2002;
                c_lwsp Lw LoadSpW 0xe003 0x4002;
                c_ldsp Ld LoadSpD 0xe003 0x6002;
                c_jr Jalr JumpReg 0xf07f 0x8002;
                c_mv Add Move 0xf003 0x8002;
                c_ebreak Ebreak Nullary 0xffff 0x9002;
                c_jalr Jalr CallReg 0xf07f 0x9002;
                c_add Add Add 0xf003 0x9002;
                c_fsdsp Fsd StoreSpD 0xe003 0xa002;
                c_swsp Sw StoreSpW 0xe003 0xc002;
                c_sdsp Sd StoreSpD 0xe003 0xe002;
            }
        }
    };
}

/// Where a 32-bit instruction keeps its operands, and of which kind they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// rd, rs1, rs2.
    R,
    /// rd, rs1, 12-bit signed immediate.
    I,
    /// rd, offset(rs1), a jump.
    Jalr,
    /// rd, rs1, 6-bit shift amount.
    Shift64,
    /// rd, rs1, 5-bit shift amount.
    Shift32,
    /// rd, offset(rs1).
    Load,
    /// rs2, offset(rs1).
    Store,
    /// rs1, rs2, 13-bit pc-relative offset.
    Branch,
    /// rd, 20-bit upper immediate, kept shifted in [`Insn::imm`](crate::Insn::imm).
    U,
    /// rd, 21-bit pc-relative offset.
    J,
    /// fm, predecessor and successor sets in the immediate; rd and rs1 are ignored.
    Fence,
    /// immediate, rd and rs1 are ignored.
    FenceI,
    /// No operands.
    Nullary,
    /// rd, CSR number in the immediate, rs1.
    Csr,
    /// rd, CSR number in the immediate, 5-bit value in rs1.
    CsrImm,
    /// rd, rs2, (rs1); aq is bit 1 of the immediate and rl is bit 0.
    Amo,
    /// rd, (rs1); aq and rl as in `Amo`.
    Lr,
    /// f-rd, offset(rs1).
    FLoad,
    /// f-rs2, offset(rs1).
    FStore,
    /// f-rd, f-rs1, f-rs2, f-rs3, rounding mode.
    F4,
    /// f-rd, f-rs1, f-rs2, rounding mode.
    F3Rm,
    /// f-rd, f-rs1, f-rs2.
    F3,
    /// f-rd, f-rs1, rounding mode.
    F2Rm,
    /// rd, f-rs1, f-rs2.
    FCompare,
    /// rd, f-rs1.
    FToX,
    /// rd, f-rs1, rounding mode.
    FToXRm,
    /// f-rd, rs1.
    XToF,
    /// f-rd, rs1, rounding mode.
    XToFRm,
}

impl Format {
    /// Whether bits 14:12 are a rounding mode.
    pub const fn has_rounding_mode(self) -> bool {
        matches!(
            self,
            Format::F4 | Format::F3Rm | Format::F2Rm | Format::FToXRm | Format::XToFRm
        )
    }
}

/// How a 16-bit instruction's fields make the operands of its expansion.
/// A primed register is one of x8..x15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressedFormat {
    /// rd' = sp + immediate, which is not zero.
    Addi4spn,
    LoadW,
    LoadD,
    StoreW,
    StoreD,
    /// A hint when rd is x0 or the immediate is 0, c.nop when both are.
    AddImm,
    /// As `AddImm`, with rd = x0 reserved.
    AddImmNotZero,
    LoadImm,
    /// sp += immediate, which is not zero.
    Addi16sp,
    /// The immediate is not zero.
    Lui,
    /// rd' and a shift amount.
    ShiftShort,
    AndImm,
    /// rd' op= rs2'.
    Arith,
    Jump,
    Branch,
    /// Any rd and a shift amount.
    Shift,
    /// rd is not x0.
    LoadSpW,
    /// rd is not x0.
    LoadSpD,
    FloadSpD,
    /// rs1 is not x0.
    JumpReg,
    /// rs1 is not x0.
    CallReg,
    /// rs2 is not x0.
    Move,
    /// rs2 is not x0.
    Add,
    Nullary,
    StoreSpW,
    StoreSpD,
}

/// One row of the base table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub op: Op,
    pub mnemonic: &'static str,
    pub extension: Extension,
    pub format: Format,
    pub mask: u32,
    pub bits: u32,
}

/// One row of the compressed table.
#[derive(Clone, Copy, Debug)]
pub struct CompressedRow {
    pub mnemonic: &'static str,
    /// The op it expands to.
    pub op: Op,
    pub format: CompressedFormat,
    pub mask: u16,
    pub bits: u16,
}

/// `fcvt_w_s` to `fcvt.w.s`, when the table is compiled.
const fn dotted<const N: usize>(name: &str) -> [u8; N] {
    let name = name.as_bytes();
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = if name[i] == b'_' { b'.' } else { name[i] };
        i += 1;
    }
    out
}

macro_rules! mnemonic {
    ($method:ident) => {{
        const DOTTED: [u8; stringify!($method).len()] = dotted(stringify!($method));
        match std::str::from_utf8(&DOTTED) {
            Ok(text) => text,
            Err(_) => panic!("a mnemonic is ASCII"),
        }
    }};
}

macro_rules! define {
    (
        base { $( $extension:ident { $( $method:ident $op:ident $format:ident $mask:literal $bits:literal; )* } )* }
        compressed { $( $c_name:ident $c_op:ident $c_format:ident $c_mask:literal $c_bits:literal; )* }
    ) => {
        /// Every instruction, compressed forms under the op they expand to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Op { $( $( $op, )* )* }

        impl Op {
            pub const ALL: &'static [Op] = &[ $( $( Op::$op, )* )* ];
        }

        /// The base rows, in the order of [`Op`].
        pub static ROWS: &[Row] = &[ $( $( Row {
            op: Op::$op,
            mnemonic: mnemonic!($method),
            extension: Extension::$extension,
            format: Format::$format,
            mask: $mask,
            bits: $bits,
        }, )* )* ];

        /// The compressed rows, in matching order.
        pub static COMPRESSED: &[CompressedRow] = &[ $( CompressedRow {
            mnemonic: mnemonic!($c_name),
            op: Op::$c_op,
            format: CompressedFormat::$c_format,
            mask: $c_mask,
            bits: $c_bits,
        }, )* ];
    };
}

for_each_insn!(define);

impl Op {
    /// The op's row of the table.
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// As assemblers write it.
    pub fn mnemonic(self) -> &'static str {
        self.row().mnemonic
    }

    pub fn format(self) -> Format {
        self.row().format
    }
}

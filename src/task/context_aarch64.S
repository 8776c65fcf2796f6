/* Contexts on AArch64, AAPCS64: x19 to x30 and the low halves of v8 to v15 lie on the stack. */

    .text

/* void context_jump(struct context *from, const struct context *to) */
    .globl context_jump
    .hidden context_jump
    .type context_jump, %function
context_jump:
    .cfi_startproc
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]

    ldr x9, [x1]
    mov sp, x9
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    br x30
    .cfi_endproc
    .size context_jump, . - context_jump

/* void context_prepare(struct context *context, void *top, void (*entry)(void *), void
 * *argument) */
    .globl context_prepare
    .hidden context_prepare
    .type context_prepare, %function
context_prepare:
    .cfi_startproc
    and x1, x1, #-16
    sub x9, x1, #160
    stp x3, x2, [x9, #0]    /* x19: argument, x20: entry */
    adr x10, context_start
    stp xzr, x10, [x9, #80] /* x29: ends a chain of frames */
    str x9, [x0]
    ret
    .cfi_endproc
    .size context_prepare, . - context_prepare

    .type context_start, %function
context_start:
    .cfi_startproc
    .cfi_undefined x30      /* a debugger's backtrace ends here */
    mov x0, x19
    blr x20
    brk #1
    .cfi_endproc
    .size context_start, . - context_start

    .section .note.GNU-stack, "", %progbits

/* Contexts on x86-64, System V ABI: the callee-saved registers, and the control words of the two
 * floating-point units, lie on the stack below the return address. */

    .text

/* void context_jump(struct context *from, const struct context *to) */
    .globl context_jump
    .hidden context_jump
    .type context_jump, @function
context_jump:
    .cfi_startproc
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    stmxcsr (%rsp)
    fnstcw 4(%rsp)
    movq %rsp, (%rdi)

    movq (%rsi), %rsp
    ldmxcsr (%rsp)
    fldcw 4(%rsp)
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmp *%rcx /* not ret: the processor would predict the caller on the other stack */
    .cfi_endproc
    .size context_jump, . - context_jump

/* void context_prepare(struct context *context, void *top, void (*entry)(void *), void
 * *argument) */
    .globl context_prepare
    .hidden context_prepare
    .type context_prepare, @function
context_prepare:
    .cfi_startproc
    andq $-16, %rsi
    leaq -64(%rsi), %rax
    stmxcsr (%rax)
    fnstcw 4(%rax)
    movq $0, 8(%rax)     /* r15 */
    movq $0, 16(%rax)    /* r14 */
    movq %rdx, 24(%rax)  /* r13: entry */
    movq %rcx, 32(%rax)  /* r12: argument */
    movq $0, 40(%rax)    /* rbx */
    movq $0, 48(%rax)    /* rbp: ends a chain of frames */
    leaq context_start(%rip), %rcx
    movq %rcx, 56(%rax)
    movq %rax, (%rdi)
    ret
    .cfi_endproc
    .size context_prepare, . - context_prepare

    .type context_start, @function
context_start:
    .cfi_startproc
    .cfi_undefined rip   /* a debugger's backtrace ends here */
    movq %r12, %rdi
    callq *%r13
    ud2
    .cfi_endproc
    .size context_start, . - context_start

    .section .note.GNU-stack, "", @progbits

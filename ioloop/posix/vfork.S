// vfork(2): the child runs on its parent's stack and thread until it execs or exits, so it must not park. It finds no
// loop to park on; the parent gets its own back. Written in assembly because the child returns from here first, and
// whatever a C function had on the stack would be gone for the parent.

#if defined(__x86_64__)

        .text
        .globl vfork
        .type vfork, @function
        .p2align 4
vfork:
        .cfi_startproc
        endbr64
        popq    %rdi                    // the return address: kept in registers, which the two have apart
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdi
        movq    greenring_intercepting_loop@gottpoff(%rip), %rsi
        movq    %fs:(%rsi), %rdx        // the kernel keeps registers across a call, but rax, rcx and r11
        movq    $0, %fs:(%rsi)
        movl    $58, %eax               // SYS_vfork
        syscall
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rip, 0
        testl   %eax, %eax
        jz      1f                      // the child
        movq    %rdx, %fs:(%rsi)
        cmpl    $-4095, %eax
        jae     2f
1:      ret
2:      negl    %eax
        movl    %eax, %edi
        pushq   %rdi
        .cfi_adjust_cfa_offset 8
        call    __errno_location@PLT
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        movl    %edi, (%rax)
        movl    $-1, %eax
        ret
        .cfi_endproc
        .size vfork, .-vfork

#endif

        .section .note.GNU-stack, "", @progbits

#include "textflag.h"

// nothing is a signal handler that does nothing. It runs on the kernel's frame and
// returns into what leaves a signal.
TEXT nothing<>(SB), NOSPLIT|NOFRAME, $0-0
	RET

GLOBL ·nothing(SB), RODATA, $8
DATA ·nothing(SB)/8, $nothing<>(SB)

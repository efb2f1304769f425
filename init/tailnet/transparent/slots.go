package transparent

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// slotsFile keeps the calls that were received and are not answered yet. The kernel
// gives a call to a receiver once: where that is killed before it answers, the call would wait for
// ever. So they are received into a file, from which the next run of this program takes them.
const slotsFile = "tailnet-calls"

// slotCount is how many calls can be under way at once; further ones wait.
const slotCount = 4096

type slots struct {
	memory []byte
	free   chan *intercept.Notification

	mu   sync.Mutex
	left []*intercept.Notification // of the runs before this one, which may be killed as well
}

func openSlots(path string) (*slots, error) {
	size := slotCount * int(unsafe.Sizeof(intercept.Notification{}))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the list of calls: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		return nil, fmt.Errorf("opening the list of calls: %w", err)
	}
	s := &slots{free: make(chan *intercept.Notification, slotCount)}
	if s.memory, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("mapping the list of calls: %w", err)
	}
	for i := range slotCount {
		slot := (*intercept.Notification)(unsafe.Pointer(&s.memory[i*size/slotCount]))
		if slot.ID != 0 && len(s.left) < slotCount/2 {
			s.left = append(s.left, slot)
			continue
		}
		s.put(slot)
	}
	return s, nil
}

func (s *slots) close() { _ = unix.Munmap(s.memory) } // at the end of the program at the latest

func (s *slots) take() *intercept.Notification { return <-s.free }

func (s *slots) put(slot *intercept.Notification) {
	*slot = intercept.Notification{}
	s.free <- slot
}

// leftTo takes out the calls of a listener that the run before this one did not answer. A number that
// two listeners know is as likely as a random number of 64 bits twice.
func (s *slots) leftTo(listener int) (list []*intercept.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.left[:0]
	for _, slot := range s.left {
		if intercept.Valid(listener, slot.ID) {
			list = append(list, slot)
		} else {
			rest = append(rest, slot)
		}
	}
	s.left = rest
	return list
}

package services

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// denies answers all calls of a listener with an error, until its last process has ended.
func denies(t *testing.T, listener *os.File, errno unix.Errno, asked chan<- intercept.Op) {
	fd := int(listener.Fd())
	for {
		state := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(state, -1); err == unix.EINTR {
			continue
		}
		if state[0].Revents&unix.POLLIN == 0 {
			listener.Close()
			close(asked)
			return
		}
		var n intercept.Notification
		if err := intercept.Receive(fd, &n); err != nil {
			continue
		}
		op, _, _ := intercept.Of(&n)
		answer := intercept.Fail(errno)
		if op != intercept.Connect {
			answer = intercept.Go
		}
		if err := intercept.Send(fd, n.ID, answer); err != nil {
			t.Log(err)
		}
		asked <- op
	}
}

// connects is a script that tells how a connection to the discard port of the box ends.
const connects = `python3 -c "
import socket
print(socket.socket().connect_ex(('127.0.0.1', 9)))"`

// TestIntercepted starts a service whose calls somebody else answers, as another user too.
func TestIntercepted(t *testing.T) {
	type passed struct {
		service  string
		listener *os.File
	}
	listeners := make(chan passed, 8)
	b := run(t, Options{Interceptor: "tailnet", Intercepted: func(service string, f *os.File) { listeners <- passed{service, f} }})
	quiet := Service{Name: "tailnet", ExecStart: Argv("sleep", "1000")}
	transparent := func(name string, x Execution) Service {
		x.Tailnet = TailnetTransparent
		return Service{Name: name, Type: Oneshot, ExecStart: Argv("sh", "-c", connects), Execution: x}
	}
	b.add(transparent("early", Execution{}))
	st := b.until("early", func(s Status) bool { return s.State == Done })
	if want := "not transparent: no tailnet is configured"; st.Tailnet != want {
		t.Errorf("%q, want %q", st.Tailnet, want)
	}
	b.add(quiet)
	for i, x := range []Execution{{}, {NoNewPrivileges: true}, {User: fmt.Sprint(somebody().Uid), Limit: map[string]string{"NOFILE": "100"}}} {
		name := fmt.Sprint("service", i)
		b.add(transparent(name, x))
		l := <-listeners
		if l.service != name {
			t.Errorf("the listener of %s, want %s", l.service, name)
		}
		asked := make(chan intercept.Op, 1000)
		denies(t, l.listener, unix.EDOM, asked) // returns when the service has ended
		if st := b.until(name, func(s Status) bool { return s.State == Done || s.State == Failed }); st.State != Done || st.Tailnet != "transparent" {
			t.Errorf("%+v", st)
		}
		b.untilLine(name, fmt.Sprint(int(unix.EDOM)))
	}
}

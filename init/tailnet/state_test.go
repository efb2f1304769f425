package tailnet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func TestState(t *testing.T) {
	for _, test := range []struct {
		name, file, want string // want is part of the error, "" for none
		stored           bool
	}{
		{name: "none"},
		{name: "empty", file: " "},
		{name: "no node yet", file: "{}"},
		{name: "half of a file", file: `{"_current-profile": "cHJvZm`, want: "damaged"},
		{name: "binary", file: "\x00\x01", want: "damaged"},
		{name: "other types", file: `{"_machinekey": 7}`, want: "damaged"},
		{name: "sealed", file: `{"key": "AA==", "nonce": "AA==", "data": "AA=="}`, want: "TPM"},
		{name: "prefs of nobody", file: `{"_current-profile": "cHJvZmlsZS0x", "profile-1": "bm9uc2Vuc2U="}`, want: "version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			path := filepath.Join(dir, stateFile)
			text := strings.TrimSpace(test.file)
			if test.file != "" {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := openState(dir)
			if test.want == "" {
				if err != nil || s.stored != test.stored {
					t.Fatalf("it is %+v (%v)", s, err)
				}
				s.close()
				return
			}
			var f *failure
			if !errors.As(err, &f) || f.reason != wire.BadState || f.cure == "" || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("it is %v", err)
			}
			if after, _ := os.ReadFile(path); string(after) != text {
				t.Error("the file was changed")
			}
		})
	}
}

func TestStateOfTwo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "another tailnet program") {
		t.Errorf("the second says %v", err)
	}
	first.close()
	second, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	second.close()
}

func TestStateUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openState(filepath.Join(file, "state"))
	var f *failure
	if !errors.As(err, &f) || f.reason != wire.BadState || !strings.Contains(f.cure, "TS_STATE_DIR") {
		t.Errorf("it is %v", err)
	}
}

// TestBadStateIsTold takes the obstacle away while the program waits.
func TestBadStateIsTold(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "state", stateFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctl := newControl(t)
	b := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	if s := b.reason(wire.BadState); s.State != wire.Failed || !strings.Contains(s.Cure, "move it away") {
		t.Errorf("the status is %+v", s)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	b.running()
}

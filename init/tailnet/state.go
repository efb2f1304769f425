package tailnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"tailscale.com/ipn"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// stateFile is tsnet's, and tailscaled's.
const stateFile = "tailscaled.state"

// state is the directory that makes this box the same node after a restart.
type state struct {
	dir  string
	lock *os.File
	// stored says that the box has joined before: its key is in the state, and an
	// authentication key is not needed.
	stored bool
}

// openState makes the directory, locks it against a second program, and looks whether the
// state can be used. It changes nothing that is there.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	// Whoever made it: there are keys in it.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "nix2vast.lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &failure{
				reason: wire.BadState, text: "another tailnet program, of this box or of one that shares the directory, uses " + dir,
				cure: "give each box a TS_STATE_DIR of its own",
			}
		}
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	s := &state{dir: dir, lock: lock}
	if s.stored, err = stored(filepath.Join(dir, stateFile)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *state) close() { s.lock.Close() }

// forget removes what an ephemeral node leaves: it has logged out, and its key is worth
// nothing.
func (s *state) forget() error {
	err := os.Remove(filepath.Join(s.dir, stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the state of an ephemeral node: %w", err)
	}
	return nil
}

func unwritable(dir string, err error) error {
	return &failure{
		reason: wire.BadState, text: "the directory of the state cannot be written", err: err,
		cure: "make " + dir + " writable, or let TS_STATE_DIR name a directory that is",
	}
}

// stored says whether a state file holds a node's key. It is an error where the file
// cannot be understood: joining would write over it.
func stored(path string) (bool, error) {
	bad := func(why string, err error) (bool, error) {
		return false, &failure{
			reason: wire.BadState, text: "the state in " + path + " " + why, err: err,
			cure: "restore the file, or move it away: the box then joins as a new node",
		}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 {
		return false, nil
	}
	if err != nil {
		return bad("cannot be read", err)
	}
	var sealed map[string]json.RawMessage
	if err := json.Unmarshal(text, &sealed); err != nil {
		return bad("is damaged", err)
	}
	// tailscaled seals states with a TPM, and such a file looks like one without profiles.
	if sealed["key"] != nil && sealed["nonce"] != nil && sealed["data"] != nil {
		return bad("is sealed by the TPM of another machine", nil)
	}
	var entries map[ipn.StateKey][]byte
	if err := json.Unmarshal(text, &entries); err != nil {
		return bad("is damaged", err)
	}
	current := ipn.StateKey(entries[ipn.CurrentProfileStateKey])
	if current == "" || entries[current] == nil {
		return false, nil
	}
	prefs := ipn.NewPrefs()
	if err := ipn.PrefsFromBytes(entries[current], prefs); err != nil {
		return bad("is of a version that this program does not know, or damaged", err)
	}
	return prefs.Persist != nil && !prefs.Persist.PrivateNodeKey.IsZero(), nil
}

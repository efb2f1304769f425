package rootfs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// attrs are those of a derivation with __structuredAttrs.
type attrs struct {
	Outputs struct {
		Out    string `json:"out"`
		Modes  string `json:"modes"`
		Owners string `json:"owners"`
	} `json:"outputs"`
	Rootfs json.RawMessage `json:"rootfs"`
}

// Build is the builder of a derivation that has three outputs: the tree, and JSON files
// of what a store does not keep, by path: modes in octal, and owners as UID:GID. b are its structured
// attributes, of which "rootfs" are the Options; packages are read below store, which is ""
// for the machine's own. The error has one sentence for each problem, a line each.
func Build(b []byte, store string, log io.Writer) error {
	var a attrs
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	if a.Outputs.Out == "" || a.Outputs.Modes == "" || a.Outputs.Owners == "" {
		return errors.New("the derivation of a root file system needs the outputs out, modes and owners")
	}
	var o Options
	d := json.NewDecoder(bytes.NewReader(a.Rootfs))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("the attribute rootfs: %w", err)
	}
	t, err := compose(o, store, log)
	if err != nil {
		return err
	}
	if err := t.write(a.Outputs.Out); err != nil {
		return fmt.Errorf("writing the root file system: %w", err)
	}
	if err := writeSet(a.Outputs.Modes, t.modes()); err != nil {
		return fmt.Errorf("writing the modes: %w", err)
	}
	if err := writeSet(a.Outputs.Owners, t.owners()); err != nil {
		return fmt.Errorf("writing the owners: %w", err)
	}
	return nil
}

func writeSet(file string, set map[string]string) error {
	b, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// write makes the tree in dir, which must not be there. It gives files and directories the
// modes that a store would.
func (t tree) write(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range t.paths() {
		e, to := t[name], filepath.Join(dir, name)
		var err error
		switch {
		case e.link != "":
			err = os.Symlink(e.link, to)
		case e.mode.IsDir():
			err = os.Mkdir(to, 0o755)
		default:
			err = e.writeFile(to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e entry) writeFile(to string) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|e.mode&0o111)
	if err != nil {
		return err
	}
	defer out.Close()
	var in io.Reader = bytes.NewReader(e.data)
	if e.source != "" {
		f, err := os.Open(e.source)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return out.Close()
}

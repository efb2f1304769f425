package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// nixName is the service that tells the box's Nix what the image's store holds. The box
// is ready without it, and no worse where it fails: Nix knows of nothing then.
const nixName = "nix-database"

// NixVerb is what our own program is called with to do the work of that service.
const NixVerb = nixName

const (
	registrationPath = "/nix-path-registration"
	nixState         = "/nix/var/nix"
	nixDatabase      = nixState + "/db/db.sqlite"
	// nixStamp holds the sum of the registration that the database beside it knows.
	nixStamp = nixState + "/db/nix2vast-registration"
	// nixNew is the state of Nix in which a first database is made.
	nixNew = nixState + "/nix2vast-new"
)

// nixService starts once sshd answers, and gives way to everything else: a large image
// takes it a quarter of a second.
func nixService(program string, after []string) services.Service {
	return services.Service{
		Name:               nixName,
		Description:        "tell Nix what the image's store holds",
		Type:               services.Oneshot,
		ExecStart:          services.Argv(program, NixVerb),
		After:              after,
		Restart:            services.RestartOnFailure,
		RestartSec:         new(services.Seconds(5)),
		RestartMaxDelaySec: services.Duration(10 * time.Minute),
		TimeoutStartSec:    services.Duration(10 * time.Minute),
		Execution:          services.Execution{Nice: 19},
	}
}

// LoadNixDatabase does the work of the service, says what it did on w, and returns the
// service's exit code. It may be killed at any time, and called as often as one likes:
// what is in the database already stays as it is.
func LoadNixDatabase(ctx context.Context, c *Container, w io.Writer) int {
	log := services.PlainLogger(w)
	note, err := loadNixDatabase(ctx, c)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		log.Info(fmt.Sprintf("Nix in this box will not know what the image's store holds: %v", err))
		return 0 // trying again would not help
	case err != nil:
		log.Warn(err.Error())
		return 1
	case note != "":
		log.Info(note)
	}
	return 0
}

func loadNixDatabase(ctx context.Context, c *Container) (note string, err error) {
	if c.Config.NixStore == "" {
		return "", nil
	}
	registration, err := os.ReadFile(filepath.Join(c.Root, registrationPath))
	if errors.Is(err, fs.ErrNotExist) {
		return "the image has no " + registrationPath + ": it keeps a database of its own, or none", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading what the image's store holds: %w", err)
	}
	stamp := fmt.Sprintf("sha256:%x\n", sha256.Sum256(registration))
	// The container may have been stopped and started, or made anew from another image around
	// a file system that stays.
	if known, err := os.ReadFile(filepath.Join(c.Root, nixStamp)); err == nil && string(known) == stamp {
		return "", nil
	}
	if err := unix.Access(filepath.Join(c.Root, nixState, "db"), unix.W_OK); err != nil {
		return "", &placeError{"writing", nixState + "/db", err}
	}
	if err := c.makeNixDatabase(ctx, registration); err != nil {
		return "", fmt.Errorf("telling Nix what the image's store holds: %w", err)
	}
	// A kill before this makes the next boot do it again.
	if _, err := writeFile(c.Root, nixStamp, []byte(stamp), 0o644); err != nil {
		return "", err
	}
	return "Nix knows what the image's store holds", nil
}

// makeNixDatabase has Nix know the registration. To the garbage collector a path that is
// not in the database is garbage, whatever refers to it: a first database is made aside and
// is there at once and whole, or not at all. An image brings the number of the database's
// schema and no database, with which Nix does nothing until then.
func (c *Container) makeNixDatabase(ctx context.Context, registration []byte) error {
	database := filepath.Join(c.Root, nixDatabase)
	if _, err := os.Stat(database); err == nil {
		return c.loadDB(ctx, nixState, registration) // in one transaction, beside what it knows
	}
	aside := filepath.Join(c.Root, nixNew)
	if err := os.RemoveAll(aside); err != nil { // what a kill in the middle left
		return err
	}
	if err := c.loadDB(ctx, nixNew, registration); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(aside, "db/db.sqlite-wal")); err == nil {
		return errors.New("nix-store left its database open")
	}
	// The schema first: without it Nix would take the database for a new one.
	for _, name := range []string{"schema", "db.sqlite"} {
		if err := os.Rename(filepath.Join(aside, "db", name), filepath.Join(c.Root, nixState, "db", name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(aside)
}

// loadDB has nix-store read the registration into the database below state. Its
// environment is not the container's, in which NIX_REMOTE and others may point anywhere.
func (c *Container) loadDB(ctx context.Context, state string, registration []byte) error {
	query := url.Values{"state": {filepath.Join(c.Root, state)}}
	if c.Root != "/" {
		query.Set("root", c.Root)
	}
	program := filepath.Join(c.Root, c.Config.NixStore)
	out, code, err := services.CaptureInput(ctx, bytes.NewReader(registration), []string{"HOME=/root"},
		program, "--load-db", "--store", "local?"+query.Encode())
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ends with %d: %.300s", program, code, strings.TrimSpace(string(out)))
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestRealServices runs redis-server, PostgreSQL and nginx as Debian ships them,
// and looks for their data after each way to stop them.
func TestRealServices(t *testing.T) {
	if os.Getuid() != 0 { // they have users of their own, which only root's boxes know
		cmd := exec.Command("sudo", "--non-interactive", "env", "PATH="+os.Getenv("PATH"),
			"INIT_UNDER_TEST="+os.Getenv("INIT_UNDER_TEST"), os.Args[0], "-test.run=^"+t.Name()+"$")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("as root: %v\n%s", err, out)
		}
		return
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(versions) == 0 {
		t.Fatal("there is no PostgreSQL on this machine: make setup")
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "real"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("INIT_UNDER_TEST", os.Getenv("INIT_UNDER_TEST"))
			e.Setenv("UNITS", "/usr/lib/systemd/system")
			e.Setenv("PG", filepath.Base(filepath.Dir(filepath.Dir(versions[len(versions)-1]))))
			e.Setenv("CAPABILITIES", "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,"+
				"+net_bind_service,+sys_chroot,+mknod,+audit_write,+setfcap")
			e.Setenv("S", "/nix/store/00000000000000000000000000000000") // as ../../services/testdata has it
			return putOwn(e.WorkDir)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"inbox": inBox, "term": term},
	})
}

// putOwn writes what our own nginx evaluates to, as the config of a box.
func putOwn(dir string) error {
	conf, err := os.ReadFile("../../services/testdata/nginx.conf")
	if err != nil {
		return err
	}
	project, err := os.ReadFile("../../services/testdata/nginx.json")
	if err != nil {
		return err
	}
	config := fmt.Sprintf(`{"version": 1, "processCompose": %s}`, project)
	return errors.Join(os.WriteFile(filepath.Join(dir, "own.conf"), conf, 0o644), os.WriteFile(filepath.Join(dir, "own.json"), []byte(config), 0o644))
}

package boot

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image"
)

// hardValues are what a container's environment can hold, and shells, sshd and
// PAM like to break.
var hardValues = map[string]string{
	"EMPTY":      "",
	"QUOTES":     `it's "quoted" 'twice' ''`,
	"DOLLAR":     "$HOME ${PATH} $(reboot) `reboot` !!",
	"BACKSLASH":  `a\b\\c\n\`,
	"UNICODE":    "naïve 你好 🚀",
	"BLANKS":     "  two spaces\tand a tab ",
	"HASH":       "# no comment",
	"JSON":       `{"a": ["b", 1], "c": "d=e"}`,
	"BYTES":      "\x01\x7f\xff\xfe end",
	"CR":         "a\r",
	"LARGE":      strings.Repeat(`100 KB of "$x" \ `, 6000),
	"MULTILINE":  "one\n  two's \"$x\" \\\n\n# END nix2vast\nthree\n",
	"EQUALS":     "=a=b=",
	"PYTHONPATH": "/a:/b",
}

func hardEnviron() []string {
	var environ []string
	for name, value := range hardValues {
		environ = append(environ, name+"="+value)
	}
	return environ
}

func settingsOf(t *testing.T, environ ...string) Settings {
	t.Helper()
	s, problems := ParseSettings(environ)
	wantProblems(t, problems, nil)
	return s
}

func TestSessionEnviron(t *testing.T) {
	s := settingsOf(t, "A=container", "HOME=/", "PWD=/x", "TERM=dumb", "_=/init", "SHLVL=1", "HOSTNAME=h", "LD_PRELOAD=x.so",
		"NOTIFY_SOCKET=/x", "LISTEN_FDS=1", "WATCHDOG_USEC=1", "ROOT_PASSWORD=hunter2", "TS_AUTHKEY=hunter2", "ROOT_PASSWORD_FILE=/key", "X=\xff")
	got := sessionEnviron(s, map[string]string{"A": "image", "B": "image", "PATH": "/sw/bin:" + binDir, "TAILSCALE_AUTHKEY": "hunter2", "USER": "x", "": "x"})
	want := []string{"A=container", "B=image", "PATH=" + binDir + ":/sw/bin", "ROOT_PASSWORD_FILE=/key", "WORKSPACE=/workspace", "X=\xff"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := sessionEnviron(Settings{}, nil); !slices.Contains(got, "PATH="+binDir+":"+defaultPath) {
		t.Errorf("got %q", got)
	}
}

func TestEnvironmentStep(t *testing.T) {
	c := &Container{
		Root:     newRoot(t, map[string]string{"/etc/environment": "LANG=C\nFOO=a b\n", "/etc/bash.bashrc": "[ -z \"$PS1\" ] && return\n", "/etc/profile": "PATH=/bin\n"}),
		Settings: settingsOf(t, hardEnviron()...),
		Config:   image.Config{Environment: map[string]string{"FROM_IMAGE": "yes"}},
	}
	note := step(t, c, Environment)
	for _, path := range []string{"/etc/environment", "/etc/profile.d/nix2vast.sh", "/etc/bash.bashrc", "/etc/bashrc", "/etc/profile"} {
		if !strings.Contains(note, "wrote "+path) {
			t.Errorf("note %q lacks %s", note, path)
		}
		wantMode(t, c.Root, path, 0o644)
	}
	text := get(t, c.Root, "etc/environment")
	if !strings.HasPrefix(text, "# BEGIN nix2vast\nBACKSLASH='") || !strings.HasSuffix(text, "# END nix2vast\nLANG=C\nFOO=a b\n") ||
		!strings.Contains(text, "\nPATH='"+binDir) || strings.Contains(text, "MULTILINE") {
		t.Errorf("/etc/environment is\n%.2000s", text)
	}
	if got := get(t, c.Root, "etc/profile"); got != "PATH=/bin\n# BEGIN nix2vast\n"+sourceAll+"\n# END nix2vast\n" {
		t.Errorf("/etc/profile is\n%s", got)
	}
}

func TestEnvironmentOfADirtyBox(t *testing.T) {
	c := &Container{Root: t.TempDir(), Settings: settingsOf(t, "A=1")}
	step(t, c, Environment)
	dirt := "HOME=/\nFUNC=() {  echo\n}\nPATH=/bin" // as "env >> /etc/environment" leaves it
	first := get(t, c.Root, "etc/environment")
	put(t, c.Root, "/etc/environment", first+dirt, 0o600)
	if note := step(t, c, Environment); note != "" {
		t.Errorf("note %q", note)
	}
	if got := get(t, c.Root, "etc/environment"); got != first+dirt {
		t.Errorf("it became\n%s", got)
	}
	wantMode(t, c.Root, "etc/environment", 0o600)
}

func TestProfileThatReadsTheDirectory(t *testing.T) {
	const theirs = "for i in /etc/profile.d/*.sh; do . $i; done\n"
	c := &Container{Root: newRoot(t, map[string]string{"/etc/profile": theirs}), Settings: settingsOf(t)}
	step(t, c, Environment)
	if got := get(t, c.Root, "etc/profile"); got != theirs {
		t.Errorf("it became\n%s", got)
	}
}

// Real shells have to read back what was written, byte for byte.
func TestShellsReadTheFiles(t *testing.T) {
	c := &Container{Root: t.TempDir(), Settings: settingsOf(t, append(hardEnviron(), "UID=1", "BAD-NAME=x", "SHELLOPTS=x")...)}
	step(t, c, Environment)
	for _, tt := range []struct {
		name, file string
		shell      []string
		multiline  bool
	}{
		{"sh, profile", profilePath, []string{"/bin/sh", "-euc"}, true},
		{"bash, profile", profilePath, []string{"/bin/bash", "-euc"}, true},
		{"bash, environment", "/etc/environment", []string{"/bin/bash", "-euac"}, false},
		{"sh, environment", "/etc/environment", []string{"/bin/sh", "-euac"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			script := ". " + filepath.Join(c.Root, tt.file) + "; cat /proc/self/environ"
			cmd := exec.Command(tt.shell[0], tt.shell[1], script)
			cmd.Env = []string{"PATH=/usr/bin:/bin"}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			wantEnviron(t, out, tt.multiline)
			if !strings.Contains("\x00"+string(out), "\x00PATH="+binDir+":") {
				t.Error("our directory is not the first of PATH")
			}
		})
	}
}

// wantEnviron checks what /proc/PID/environ holds against hardValues.
func wantEnviron(t *testing.T, environ []byte, multiline bool) {
	t.Helper()
	got := make(map[string]string)
	for _, entry := range strings.Split(string(environ), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	for name, want := range hardValues {
		if name == "MULTILINE" && !multiline {
			continue
		}
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %.100q (%d bytes, set: %v), want %.100q", name, value, len(value), ok, want)
		}
	}
}

func TestVariableThatIsSetStays(t *testing.T) {
	c := &Container{Root: t.TempDir(), Settings: settingsOf(t, "A=1", "B=2")}
	step(t, c, Environment)
	cmd := exec.Command("/bin/sh", "-c", ". "+filepath.Join(c.Root, profilePath)+`; echo "$A $B $PATH"`)
	cmd.Env = []string{"A=", "PATH=/mine:" + binDir}
	out, err := cmd.Output()
	if want := " 2 /mine:" + binDir + "\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}

func TestEnvironIsTheProcesss(t *testing.T) {
	t.Setenv("NIX2VAST_TEST", "\xff")
	if !slices.Contains(Environ(), "NIX2VAST_TEST=\xff") {
		t.Error("a variable is missing")
	}
}

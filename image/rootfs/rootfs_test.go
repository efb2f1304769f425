package rootfs

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/listing.txt anew")

// pkg is a store path of the tests.
func pkg(name string) string { return storeDir + "/" + strings.Repeat("0", 32) + "-" + name }

// fixture is a folder with a store of small packages, and options that use all of it.
func fixture(t *testing.T) (string, Options) {
	t.Helper()
	store := t.TempDir()
	for name, list := range map[string][]string{
		"base-1.0":     {"bin/bash", "bin/sh", "bin/env", "bin/sleep", "bin/kill", "bin/ldconfig", "bin/.bash-wrapped", "bin/folder/file"},
		"procps-4.0":   {"bin/kill", "bin/ps"},
		"nothing-1":    {"share/doc/readme"},
		"cacert-3.1":   {"etc/ssl/certs/ca-bundle.crt"},
		"glibc-2.40":   {"lib/locale/C.utf8/LC_CTYPE"},
		"ncurses-6.4":  {"share/terminfo/x/xterm"},
		"openssh-9.9":  {"bin/sshd", "bin/ssh", "libexec/sftp-server"},
		"site-1":       {"index.html", "bin/tool", "deep/er/file"},
		"zlib-1.3":     {"lib/libz.so.1"},
		"greeting.txt": nil,
	} {
		for _, file := range list {
			mode := fs.FileMode(0o444)
			if strings.HasPrefix(file, "bin/") {
				mode = 0o555
			}
			write(t, filepath.Join(store, pkg(name), file), name, mode)
		}
	}
	write(t, filepath.Join(store, pkg("greeting.txt")), "hello\n", 0o444)
	if err := os.Symlink("index.html", filepath.Join(store, pkg("site-1"), "home.html")); err != nil {
		t.Fatal(err)
	}
	text := "colour = blue\n"
	return store, Options{
		Architecture: "amd64", Config: json.RawMessage(`{"version":1,"loader":"` + pkg("glibc-2.40") + `/lib/ld.so"}`),
		Packages: []string{pkg("base-1.0"), pkg("procps-4.0"), pkg("nothing-1"), pkg("openssh-9.9")}, Foreign: []string{pkg("zlib-1.3")},
		Certificates: pkg("cacert-3.1"), Locale: pkg("glibc-2.40"), Terminfo: pkg("ncurses-6.4"), SSH: pkg("openssh-9.9"),
		Nix: map[string]any{"sandbox": false, "cores": 2.0, "build-users-group": "", "substituters": []any{"https://a", "https://b"}},
		Files: map[string]File{
			"/etc/app/colour.conf": {Text: &text, Mode: "0640"},
			"/bin/greet":           {Source: pkg("greeting.txt"), Mode: "0755"},
			"/usr/bin/kill":        {Source: pkg("site-1") + "/bin/tool"},
			"/srv/site":            {Source: pkg("site-1")},
		},
		Directories: map[string]Directory{"/workspace": {Mode: "1777"}, "/var/lib/app": {Mode: "0750"}, "/opt/empty": {}},
		Links:       map[string]string{"/opt/here": "empty", "/usr/local/bin/tool": pkg("site-1") + "/bin/tool"},
	}
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// built runs Build as a derivation would, and returns its outputs and its log.
func built(t *testing.T, store string, options any) (out string, modes map[string]string, log string, err error) {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(map[string]any{
		"builder": "x", "rootfs": options,
		"outputs": map[string]string{"out": dir + "/out", "modes": dir + "/modes", "owners": dir + "/owners"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := Build(b, store, &text); err != nil {
		return "", nil, text.String(), err
	}
	b, err = os.ReadFile(dir + "/modes")
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/out", modes, text.String(), json.Unmarshal(b, &modes)
}

// listing is what an image shows of a tree: type, mode, path, and where a link leads or how
// long a file is.
func listing(t *testing.T, out string, modes map[string]string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(out, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == out {
			return err
		}
		name := strings.TrimPrefix(file, out)
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode, ok := modes[name]
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			fmt.Fprintf(&b, "l 0777 %s -> %s\n", name, target)
			return err
		case ok:
		case info.IsDir() || info.Mode()&0o111 != 0:
			mode = "0755"
		default:
			mode = "0644"
		}
		if info.IsDir() {
			fmt.Fprintf(&b, "d %s %s\n", mode, name)
		} else {
			fmt.Fprintf(&b, "f %s %s %d\n", mode, name, info.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestListing(t *testing.T) {
	store, options := fixture(t)
	out, modes, log, err := built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	got := listing(t, out, modes)
	if *update {
		write(t, "testdata/listing.txt", got, 0o644)
	}
	want, err := os.ReadFile("testdata/listing.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the tree differs from testdata/listing.txt (go test -update writes it anew):\n%s", got)
	}
	for _, want := range []string{
		"/usr/bin/kill is that of files.\"/usr/bin/kill\", not of base-1.0, procps-4.0\n",
		"no package has a program curl, getent, gzip, ip, rsync, scp, ssh-keygen, tar, tmux, wget, which hosts or people may call\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestContents(t *testing.T) {
	store, options := fixture(t)
	out, _, _, err := built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/etc/nix2vast/config.json":                  string(options.Config) + "\n",
		"/etc/nix/nix.conf":                          "# The Nix of this box, see nix.conf(5).\nbuild-users-group =\ncores = 2\nsandbox = false\nsubstituters = https://a https://b\n",
		"/etc/ld.so.conf.d/50-nix2vast-foreign.conf": pkg("zlib-1.3") + "/lib\n",
		"/etc/app/colour.conf":                       "colour = blue\n",
		"/usr/bin/greet":                             "hello\n",
		"/usr/bin/kill":                              "site-1",
		"/srv/site/deep/er/file":                     "site-1",
		"/etc/machine-id":                            "",
	} {
		if got, err := os.ReadFile(out + name); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string][]string{
		"passwd": {"root:x:0:0:root:/root:/bin/bash", "sshd:x:74:74:", "nixbld1:x:30001:30000:", "nixbld32:x:30032:30000:"},
		"group":  {"nixbld:x:30000:nixbld1,nixbld2,"},
		"shadow": {"root:*:", "sshd:*:", "nixbld32:*:"},
	} {
		got, err := os.ReadFile(out + "/etc/" + name)
		for _, line := range want {
			if err != nil || !strings.Contains("\n"+string(got), "\n"+line) {
				t.Errorf("/etc/%s lacks %q: %v\n%s", name, line, err, got)
			}
		}
	}
}

// The same options give the same tree for any user with any umask.
func TestUmask(t *testing.T) {
	store, options := fixture(t)
	out, modes, _, err := built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	want := listing(t, out, modes)
	defer syscall.Umask(syscall.Umask(0o077))
	out, modes, _, err = built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	if got := listing(t, out, modes); got != want {
		t.Errorf("with another umask the tree is\n%s", got)
	}
}

// Without Nix, SSH and a locale there is nothing of them.
func TestWithout(t *testing.T) {
	store, options := fixture(t)
	options.Nix, options.SSH, options.Locale = nil, "", pkg("zlib-1.3")
	out, _, log, err := built(t, store, options)
	if err != nil {
		t.Fatal(err)
	}
	if want := pkg("zlib-1.3") + " lacks lib/locale/C.utf8, to which /usr/lib/locale/C.utf8 has to lead\n"; !strings.Contains(log, want) {
		t.Errorf("the log lacks %q:\n%s", want, log)
	}
	for _, name := range []string{"/usr/lib/locale/C.utf8", "/etc/nix", "/usr/sbin/sshd", "/usr/lib/openssh"} {
		if _, err := os.Lstat(out + name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if passwd, err := os.ReadFile(out + "/etc/passwd"); err != nil || strings.Contains(string(passwd), "nixbld") {
		t.Errorf("%v, the accounts are\n%s", err, passwd)
	}
}

// Whatever is wrong is said at once, in a sentence each.
func TestProblems(t *testing.T) {
	store, options := fixture(t)
	text := ""
	options.Architecture = "vax"
	options.Config = json.RawMessage(`{"version":1,"loadr":"/x"}`)
	options.Packages = []string{pkg("procps-4.0"), pkg("absent-1"), "/usr"}
	options.Terminfo = pkg("zlib-1.3")
	options.Nix = map[string]any{"a": "b\nc", "d": map[string]any{}, "sandbox": true}
	options.Files = map[string]File{
		"/etc/passwd":           {Text: &text},
		"/bin/init":             {Text: &text},
		"/etc/passwd/more":      {Text: &text},
		"etc/relative":          {Text: &text},
		"/etc/../x":             {Text: &text},
		"/":                     {Text: &text},
		"/usr/lib/openssh/more": {Text: &text},
		"/proc/x":               {Text: &text},
		"/nix/store/x":          {Text: &text},
		"/opt/both":             {Text: &text, Source: pkg("site-1")},
		"/opt/none":             {},
		"/opt/mode":             {Text: &text, Mode: "0888"},
		"/opt/outside":          {Source: "/etc/hostname"},
		"/opt/around":           {Source: pkg("site-1") + "/../../../etc/hostname"},
		"/opt/gone":             {Source: pkg("gone-1")},
		"/opt/folder":           {Source: pkg("site-1"), Mode: "0755"},
		"/opt/twice":            {Text: &text},
	}
	options.Directories = map[string]Directory{"/tmp": {Mode: "0700"}, "/opt/twice": {}, "/opt/huge": {Mode: "17777"}}
	options.Links = map[string]string{"/opt/twice": "x", "/opt/empty": ""}
	_, _, _, err := built(t, store, options)
	if err == nil {
		t.Fatal("no error")
	}
	got := strings.Split(strings.TrimPrefix(err.Error(), "29 problems:\n  "), "\n  ")
	want := []string{
		`the architecture "vax" is none of amd64 and arm64`,
		`the config of init: json: unknown field "loadr"`,
		pkg("zlib-1.3") + ` lacks share/terminfo, to which /usr/share/terminfo has to lead`,
		`the setting "a" of Nix is no string, number, bool or list of these on one line`,
		`the setting "d" of Nix is no string, number, bool or list of these on one line`,
		`directories."/opt/huge": its mode "17777" is no octal number up to 7777`,
		`directories."/tmp": it is there already, by the floor that every image has`,
		`files."/": it is no clean absolute path`,
		`files."/bin/init": it is there already, by the floor that every image has`,
		`files."/etc/../x": it is no clean absolute path`,
		`files."/etc/passwd": it is there already, by the floor that every image has`,
		`files."/etc/passwd/more": /etc/passwd is a file, by the floor that every image has`,
		`files."/nix/store/x": /nix is not the image's to fill`,
		`files."/opt/around": its source "` + pkg("site-1") + `/../../../etc/hostname" is not in the Nix store`,
		`files."/opt/both": it needs a text or a source, and not both`,
		`files."/opt/folder": reading its source: it is a directory, and a mode is one of a file`,
		`files."/opt/gone": reading its source: lstat ` + store + pkg("gone-1") + `: no such file or directory`,
		`files."/opt/mode": its mode "0888" is no octal number up to 7777`,
		`files."/opt/none": it needs a text or a source, and not both`,
		`files."/opt/outside": its source "/etc/hostname" is not in the Nix store`,
		`files."/opt/twice": it is there already, by directories."/opt/twice"`,
		`files."/proc/x": /proc is not the image's to fill`,
		`files."/usr/lib/openssh/more": /usr/lib/openssh leads into the Nix store, where nothing can be added`,
		`files."etc/relative": it is no clean absolute path`,
		`links."/opt/empty": it leads nowhere`,
		`links."/opt/twice": it is there already, by directories."/opt/twice"`,
		`the package "` + pkg("absent-1") + `" is no path in the Nix store`,
		`the package "/usr" is no path in the Nix store`,
		`no package has a program bash, env, sh, sleep, without which hosts cannot start a box`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the problems are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestLinksInACircle(t *testing.T) {
	c := tree{}
	for name, target := range map[string]string{"/a": "b", "/b": "/a"} {
		if err := c.put(name, entry{link: target}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.put("/a/x", entry{}); err == nil || err.Error() != "it leads through links in a circle" {
		t.Errorf("put says %v", err)
	}
}

func TestBadAttributes(t *testing.T) {
	store, options := fixture(t)
	if _, _, _, err := built(t, store, map[string]any{"pakages": []string{}}); err == nil || !strings.Contains(err.Error(), `unknown field "pakages"`) {
		t.Errorf("a misspelt option: %v", err)
	}
	if err := Build([]byte("{"), store, os.Stderr); err == nil {
		t.Error("no attributes at all: no error")
	}
	b, _ := json.Marshal(map[string]any{"rootfs": options, "outputs": map[string]string{"out": store + "/out"}})
	if err := Build(b, store, os.Stderr); err == nil || !strings.Contains(err.Error(), "needs the outputs out, modes and owners") {
		t.Errorf("one output only: %v", err)
	}
	if _, err := os.Stat(store + "/out"); err == nil {
		t.Error("something was written")
	}
}

// The shim says yes where what is asked for is there, and no in one line where not.
func TestAptGet(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"tmux", "rsync", "ssh"} {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n", 0o755)
	}
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"", 0, ""},
		{"update", 0, ""},
		{"-qq -o Acquire::Retries=3 update", 0, ""},
		{"install -y --no-install-recommends tmux rsync=3.2 openssh-client:amd64 software-properties-common", 0, ""},
		{"-o DPkg::Lock::Timeout=60 install tmux", 0, ""},
		{"install -y tmux htop nano", 100, "apt-get: not in this image, which is made by Nix and has no apt: htop nano; " +
			"add it to the image's packages, or try: nix shell nixpkgs#NAME\n"},
		{"install ./tmux.deb time", 100, "apt-get: not in this image, which is made by Nix and has no apt: ./tmux.deb time; " +
			"add it to the image's packages, or try: nix shell nixpkgs#NAME\n"},
		{"source bash", 100, "apt-get: this image is made by Nix and has no apt; source is not known here\n"},
	} {
		cmd := exec.Command("/bin/sh", append([]string{"tree/usr/bin/apt-get"}, strings.Fields(test.args)...)...)
		cmd.Env = []string{"PATH=" + bin}
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.code || string(out) != test.says {
			t.Errorf("apt-get %s: %v, %q", test.args, err, out)
		}
	}
}

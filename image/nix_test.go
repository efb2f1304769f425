package image

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// built has Nix build an image of Debian's packages with more options: an attribute set in
// Nix. It returns the plan and the root file system, or what Nix says where that fails. The
// store is that of make image.
func built(t *testing.T, options string) (p imagePlan, rootfs string, says string, err error) {
	t.Helper()
	build, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(build, "plan.json")); err != nil {
		t.Fatalf("%v: run make image", err)
	}
	file := filepath.Join(t.TempDir(), "image.nix")
	here := filepath.Dir(build)
	text := `let
			pkgs = import ` + here + `/dev/debs.nix { debs = ` + build + `/debs; };
			healthcheck = ` + here + `/image/healthcheck.nix;
		in
		import ` + here + `/image ({
			inherit pkgs;
			init = builtins.path { path = ` + build + `/init; name = "init"; };
			nix2vast = builtins.path { path = ` + build + `/nix2vast; name = "nix2vast"; };
		} // (` + options + `))`
	write(t, file, []byte(text))
	cmd := exec.Command("nix-build", "--store", filepath.Join(build, "nix"), "--no-out-link", file)
	cmd.Env = append(os.Environ(), "NIX_CONFIG=build-users-group =\nsandbox = true\nsubstituters =\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return p, "", stderr.String(), err
	}
	store := filepath.Join(build, "nix")
	b, err := os.ReadFile(store + strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	return p, store + p.Rootfs.Path, stderr.String(), nil
}

// imagePlan is what the tests look at.
type imagePlan struct {
	Closure []struct{ Path string }
	Groups  []struct{ Name string }
	Files   []struct{ Path, Target, Mode string }
	Rootfs  struct {
		Path   string
		Modes  map[string]string
		Owners map[string]string
	}
	Config struct {
		Labels                       map[string]string
		ExposedPorts                 map[string]struct{}
		WorkingDir, User, StopSignal string
		Healthcheck                  struct{ Test []string }
	}
	Database bool
}

// has says whether the image holds a package.
func (p imagePlan) has(name string) bool {
	return slices.ContainsFunc(p.Closure, func(c struct{ Path string }) bool { return strings.Contains(c.Path, "-"+name+"-") })
}

func TestOptions(t *testing.T) {
	t.Parallel()
	p, rootfs, _, err := built(t, `{
		nixSettings = { sandbox = "relaxed"; cores = 3; };
		files."/etc/motd".text = "two\nlines\n";
		files."/root/tool" = { source = "${pkgs.bash}/bin/bash"; mode = "0700"; };
		rootPassword = "$6$saltsalt$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
		directories."/workspace" = { mode = "1777"; uid = 1000; };
		links."/opt/shell" = "${pkgs.bash}/bin/bash";
		services.web.ExecStart = [ "/bin/sleep" "infinity" ];
		revision = "0123abc";
		labels.flavour = "blue";
		groups = [
			{ name = "extra"; roots = [ pkgs.gcc-lib ]; }
			{ name = "tools"; packages = [ pkgs.patchelf ]; foreign = [ pkgs.ncurses ]; }
			{ name = "mine"; packages = [ pkgs.curl ]; }
		];
		exposedPorts = [ "2222/tcp" "53/udp" ];
		workingDir = "/workspace";
		user = "0:0";
		stopSignal = "SIGINT";
		healthcheck = import healthcheck { command = [ ]; };
	}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/root": "0700", "/root/tool": "0700", "/workspace": "1777", "/tmp": "1777", "/etc/shadow": "0600"} {
		if got := p.Rootfs.Modes[name]; got != want {
			t.Errorf("%s has mode %q, want %s", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"/etc/motd": "two\nlines\n", "/etc/nix/nix.conf": "cores = 3\n", "/etc/shadow": "root:$6$saltsalt$aaa",
		"/etc/nix2vast/config.json": `"services":{"web":{"ExecStart":["/bin/sleep","infinity"]}}`,
	} {
		if got, err := os.ReadFile(rootfs + name); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
		}
	}
	if got := p.Rootfs.Owners; len(got) != 1 || got["/workspace"] != "1000:0" {
		t.Errorf("the owners are %v", got)
	}
	if conf, _ := os.ReadFile(rootfs + "/etc/nix/nix.conf"); !strings.Contains(string(conf), "sandbox = relaxed\n") {
		t.Errorf("nix.conf holds\n%s", conf)
	}
	if got, err := os.Readlink(rootfs + "/opt/shell"); err != nil || !strings.HasSuffix(got, "/bin/bash") {
		t.Errorf("/opt/shell leads to %s, %v", got, err)
	}
	if got, err := os.Readlink(rootfs + "/usr/bin/patchelf"); err != nil || !strings.HasSuffix(got, "/bin/patchelf") {
		t.Errorf("/usr/bin/patchelf leads to %s, %v", got, err)
	}
	if conf, _ := os.ReadFile(rootfs + "/etc/ld.so.conf.d/50-nix2vast-foreign.conf"); !strings.Contains(string(conf), "-ncurses-") {
		t.Errorf("the folders of foreign libraries are\n%s", conf)
	}
	c := p.Config
	if len(c.ExposedPorts) != 2 || c.WorkingDir != "/workspace" || c.User != "0:0" || c.StopSignal != "SIGINT" || !slices.Equal(c.Healthcheck.Test, []string{"NONE"}) {
		t.Errorf("the config is %+v", c)
	}
	if !p.has("patchelf") || !p.has("nix") || !p.Database || len(p.Groups) != 5 {
		t.Errorf("the plan is %+v", p)
	}
	for key, want := range map[string]string{
		"flavour": "blue", "org.opencontainers.image.title": "nix2vast", "org.opencontainers.image.revision": "0123abc",
	} {
		if got := p.Config.Labels[key]; got != want {
			t.Errorf("the label %s is %q, want %q", key, got, want)
		}
	}
	if len(p.Files) != 1 || p.Files[0].Target != "/init" || p.Files[0].Mode != "0755" {
		t.Errorf("the single files are %+v", p.Files)
	}
}

// An image without Nix has nothing of it, and nothing of what only Nix needs.
func TestWithoutNix(t *testing.T) {
	t.Parallel()
	p, rootfs, _, err := built(t, `{ nix = null; }`)
	if err != nil {
		t.Fatal(err)
	}
	if p.Database || p.has("nix") || p.has("libicu72") || len(p.Groups) != 1 {
		t.Errorf("the plan is %+v", p)
	}
	for _, name := range []string{"/etc/nix", "/usr/bin/nix"} {
		if _, err := os.Lstat(rootfs + name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if c, err := Load(rootfs); err != nil || c.NixStore != "" {
		t.Errorf("the config names %q, %v", c.NixStore, err)
	}
}

// What is wrong with the options ends the build, all of it in one message.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	_, _, says, err := built(t, `{
		files."/etc/passwd".text = "root::0:0::/:/bin/sh";
		files."motd".text = "";
		links."/opt/a/../b" = "/x";
	}`)
	if err == nil {
		t.Fatal("it is built")
	}
	for _, want := range []string{
		"3 problems:",
		`files."/etc/passwd": it is there already, by the floor that every image has`,
		`files."motd": it is no clean absolute path`,
		`links."/opt/a/../b": it is no clean absolute path`,
	} {
		if !strings.Contains(says, want) {
			t.Errorf("Nix does not say %q:\n%s", want, says)
		}
	}
}

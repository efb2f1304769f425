package gpu

import (
	"os"
	"strings"
	"testing"
)

// TestFloor looks at what every program expects of Linux, without a driver.
func TestFloor(t *testing.T) {
	loader := glibc + "/lib/ld-linux-x86-64.so.2"
	other := store + "other-glibc/lib/ld-linux-x86-64.so.2"
	ours := confDir + "/10-nix2vast-driver.conf"
	for _, test := range []struct {
		name     string
		host     func(h *host, o *Options)
		links    map[string]string // what leads where
		files    map[string]string // a file and its whole text
		problems []string
	}{
		{name: "an image with nothing",
			host:  func(h *host, o *Options) {},
			links: map[string]string{"/lib64/ld-linux-x86-64.so.2": loader, glibc + cachePath: cachePath, glibc + confPath: confPath},
			files: map[string]string{confPath: includeLine + "\n", ours: farmDir + "\n",
				ldconfigPath: "#!/bin/sh\nexec '" + ldconfig + "' -f /etc/ld.so.conf -C /etc/ld.so.cache \"$@\"\n"}},
		{name: "a loader that works stays",
			host: func(h *host, o *Options) {
				h.copy(h.path(loader), other)
				h.link("/lib64/ld-linux-x86-64.so.2", other)
			},
			links: map[string]string{"/lib64/ld-linux-x86-64.so.2": other, glibc + cachePath: cachePath}},
		{name: "one that leads nowhere does not",
			host:  func(h *host, o *Options) { h.link("/lib64/ld-linux-x86-64.so.2", store+"gone/lib/ld.so") },
			links: map[string]string{"/lib64/ld-linux-x86-64.so.2": loader}},
		{name: "an empty one does not",
			host:  func(h *host, o *Options) { h.write("/lib64/ld-linux-x86-64.so.2", "") },
			links: map[string]string{"/lib64/ld-linux-x86-64.so.2": loader}},
		{name: "no loader in the config",
			host: func(h *host, o *Options) {
				o.Loader = ""
				h.link("/lib64/ld-linux-x86-64.so.2", loader)
			},
			links: map[string]string{glibc + cachePath: cachePath}},
		{name: "no loader at all",
			host:     func(h *host, o *Options) { o.Loader = "" },
			problems: []string{"there is no loader"},
			files:    map[string]string{confPath: includeLine + "\n"}},
		{name: "a loader that is none",
			host: func(h *host, o *Options) {
				o.Loader = "/bin/ld.so"
				h.write("/bin/ld.so", "#!/bin/sh\n")
			},
			problems: []string{"/bin/ld.so, cannot be used: is a script"}},
		{name: "linked directories, absolute and relative",
			host: func(h *host, o *Options) {
				h.mkdir("/usr/lib64")
				h.link("/lib64", "/usr/lib64")
				h.mkdir("/usr/sbin")
				h.link("/sbin", "usr/sbin")
			},
			links: map[string]string{"/usr/lib64/ld-linux-x86-64.so.2": loader},
			files: map[string]string{"/usr/sbin/ldconfig": ldconfigScript(ldconfig)}},
		{name: "the store is to stay as it is",
			host:  func(h *host, o *Options) { o.Environ = []string{"NIX2VAST_GLIBC_CACHE=0"} },
			links: map[string]string{glibc + cachePath: glibc + cachePath},
			files: map[string]string{ldconfigPath: ldconfigScript(ldconfig)}},
		{name: "a cache that somebody wrote into the store",
			host:  func(h *host, o *Options) { h.write(glibc+cachePath, "old") },
			links: map[string]string{glibc + cachePath: cachePath}},
		{name: "an ldconfig that works stays",
			host:  func(h *host, o *Options) { h.copy(h.path(ldconfig), ldconfigPath) },
			links: map[string]string{ldconfigPath: ldconfigPath}},
		{name: "a bare link to the image's ldconfig does not",
			host:  func(h *host, o *Options) { h.link(ldconfigPath, ldconfig) },
			files: map[string]string{ldconfigPath: ldconfigScript(ldconfig)}},
		{name: "no ldconfig",
			host:     func(h *host, o *Options) { o.Ldconfig = "" },
			problems: []string{"there is no /sbin/ldconfig"}},
		{name: "an ldconfig that is gone",
			host:     func(h *host, o *Options) { o.Ldconfig = store + "gone/bin/ldconfig" },
			problems: []string{"gone/bin/ldconfig, cannot be executed"}},
		{name: "a conf of the image's own",
			host:  func(h *host, o *Options) { h.write(confPath, "/opt/lib") },
			files: map[string]string{confPath: "/opt/lib\n" + includeLine + "\n"}},
		{name: "a conf that includes already",
			host:  func(h *host, o *Options) { h.write(confPath, " include  /etc/ld.so.conf.d/*.conf \n/opt/lib\n") },
			files: map[string]string{confPath: " include  /etc/ld.so.conf.d/*.conf \n/opt/lib\n"}},
		{name: "a conf in the store",
			host: func(h *host, o *Options) {
				h.write(store+"etc/ld.so.conf", "/opt/lib\n")
				h.link(confPath, store+"etc/ld.so.conf")
			},
			links: map[string]string{confPath: confPath},
			files: map[string]string{confPath: "/opt/lib\n" + includeLine + "\n", store + "etc/ld.so.conf": "/opt/lib\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			o := h.options()
			test.host(h, &o)
			r := Setup(t.Context(), o)
			for path, want := range test.links {
				if got := tree(h.root).inside(path); got != want {
					t.Errorf("%s leads to %s, want %s", path, got, want)
				}
			}
			for path, want := range test.files {
				if got, err := os.ReadFile(h.path(path)); string(got) != want {
					t.Errorf("%s: %q, %v, want %q", path, got, err, want)
				}
			}
			if len(r.Problems) != len(test.problems) {
				t.Errorf("problems %q, want %q", r.Problems, test.problems)
			}
			for i, want := range test.problems[:min(len(test.problems), len(r.Problems))] {
				if !strings.Contains(r.Problems[i], want) {
					t.Errorf("problem %q, want %q", r.Problems[i], want)
				}
			}
			if again := Setup(t.Context(), o); len(again.Notes) > 0 {
				t.Errorf("the second setup changed something: %q", again.Notes)
			}
		})
	}
}

// TestOutsideIsSafe sets up a root whose links lead, for the machine that the
// test runs on, to existing directories.
func TestOutsideIsSafe(t *testing.T) {
	outside := t.TempDir()
	h := newHost(t)
	h.must(os.Rename(h.path("/etc"), h.path("/etc.old")))
	h.link("/etc", outside)
	h.link("/run", outside+"/run")
	h.cdi(newVersion)
	if r := h.setup(); len(r.Problems) > 0 {
		t.Errorf("problems: %q", r.Problems)
	}
	if names, err := os.ReadDir(outside); err != nil || len(names) > 0 {
		t.Errorf("written outside of the root: %v, %v", names, err)
	}
	h.leadsTo(outside+"/run/opengl-driver/lib/libcuda.so.1", debianLibs+"/libcuda.so."+newVersion)
}

func TestTree(t *testing.T) {
	root := tree(t.TempDir())
	for path, target := range map[string]string{"/a": "/b", "/b": "c/../d", "/loop": "loop", "/up": "../../../d", "/self": "."} {
		if err := os.Symlink(target, string(root)+path); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"/": "/", "": "/", "/x//y/": "/x/y", "/a": "/d", "/a/e": "/d/e", "a/../f": "/f", "/loop/x": "/loop",
		"/up": "/d", "/../../x": "/x", "/self/self/a": "/d",
	} {
		if got := root.inside(path); got != want {
			t.Errorf("%q is %q inside, want %q", path, got, want)
		}
	}
	if got := root.at("/self/a"); got != string(root)+"/a" {
		t.Errorf("at: %q", got)
	}
}

func TestParseMounts(t *testing.T) {
	m := parseMounts(strings.NewReader(`489 466 0:48 / / rw,relatime master:1 shared:7 - overlay overlay rw,lowerdir=/a
512 489 254:0 /x/lib\040y /usr/lib/with\040space\134 ro,nosuid - ext4 /dev/vda rw
513 489 0:51 / /proc/driver/nvidia rw - tmpfs tmpfs rw
514 489 0:5 /nvidiactl /dev/nvidiactl ro,nosuid
rubbish
515 489 0:5 / /odd\9 rw - ext4 /dev/vda rw
`))
	for _, want := range []string{"/", `/usr/lib/with space\`, "/proc/driver/nvidia", `/odd\9`} {
		if !m.has(want) {
			t.Errorf("%q is not in %v", want, m)
		}
	}
	if len(m) != 4 || m["/proc/driver/nvidia"] != "tmpfs" {
		t.Errorf("got %v", m)
	}
	if m.covers("/usr/lib/x") || !m.covers("/proc/driver/nvidia/params") || m.covers("/") {
		t.Error("covers is wrong")
	}
}

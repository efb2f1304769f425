package gpu

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCacheWithoutLdconfig has the cache written by us, and read by the real
// loader and the real ldconfig.
func TestCacheWithoutLdconfig(t *testing.T) {
	for _, test := range []struct {
		name string
		with func(h *host) Options
		want []string // problems
	}{
		{"none", func(h *host) Options {
			h.must(os.Remove(h.path(ldconfig)))
			o := h.options()
			o.Ldconfig = ""
			return o
		}, []string{"there is no /sbin/ldconfig"}},
		{"failing", func(h *host) Options {
			h.must(os.Remove(h.path(ldconfig)))
			h.copy(compile(h.t, `#include <stdio.h>
				int main(void) { puts("no space left"); return 1; }`, "-static"), ldconfig)
			return h.options()
		}, []string{"it exited with 1: no space left"}},
		{"doing nothing", func(h *host) Options {
			h.must(os.Remove(h.path(ldconfig)))
			h.copy(compile(h.t, `int main(void) { return 0; }`, "-static"), ldconfig)
			return h.options()
		}, []string{"reading /etc/ld.so.cache"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.cdi(newVersion)
			r := Setup(t.Context(), test.with(h))
			if len(r.Problems) != len(test.want) || !strings.Contains(r.Problems[0], test.want[0]) {
				t.Errorf("problems %q, want %q", r.Problems, test.want)
			}
			if !slices.Contains(r.Notes, "wrote /etc/ld.so.cache without ldconfig") {
				t.Errorf("notes %q", r.Notes)
			}
			info, err := os.Stat(h.path(cachePath))
			if err != nil || info.Mode() != 0o644 {
				t.Errorf("the cache: %v, %v", info.Mode(), err)
			}
			out, err := exec.Command(hostFile(t, "/sbin/ldconfig"), "-p", "-C", h.path(cachePath)).CombinedOutput()
			if err != nil {
				t.Fatalf("ldconfig -p: %v\n%s", err, out)
			}
			for _, name := range []string{"libcuda.so", "libcuda.so.1", "libnvidia-ml.so.1", "libc.so.6"} {
				if !strings.Contains(string(out), "\t"+name+" (libc6,x86-64) => ") {
					t.Errorf("ldconfig -p does not list %s:\n%s", name, out)
				}
			}
			if strings.Contains(string(out), "\tlibcuda.so."+newVersion+" ") {
				t.Errorf("ldconfig -p lists the full version:\n%s", out)
			}
			if out, exit, err := h.run(t.Context(), "/usr/bin/nvidia-smi"); err != nil || exit != 9 {
				t.Errorf("nvidia-smi: exit %d, %v\n%s", exit, err, out)
			}
		})
	}
}

// TestCacheOrder compares with the order that the real ldconfig gives the
// libraries of this machine and some of difficult names.
func TestCacheOrder(t *testing.T) {
	dir := t.TempDir()
	library, err := os.ReadFile(compile(t, "int f(void) { return 0; }", "-shared", "-fPIC", "-nostdlib"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"liba.so.2", "liba.so.10", "liba.so.9", "liba.so", "lib1.so", "lib_.so", "liba10.so", "liba9b.so", "libA.so", "liba-1.so", "liba.so.007", "liba.so.20220623"} {
		if err := os.WriteFile(filepath.Join(dir, name), library, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf, cache := filepath.Join(dir, "conf"), filepath.Join(dir, "cache")
	if err := os.WriteFile(conf, []byte(dir+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(hostFile(t, "/sbin/ldconfig"), "-f", conf, "-C", cache, "-X").CombinedOutput(); err != nil {
		t.Fatalf("ldconfig: %v\n%s", err, out)
	}
	data, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	entries := decodeCache(data)
	if len(entries) < 20 {
		t.Fatalf("only %d entries", len(entries))
	}
	for i := 1; i < len(entries); i++ {
		if a, b := entries[i-1].name, entries[i].name; compareNames(a, b) < 0 {
			t.Errorf("%s is before %s in ldconfig's cache", a, b)
		}
	}
	if ours := encodeCache(entries, thisArch().cacheFlags); string(ours[:20]) != string(data[:20]) || ours[28] != data[28] {
		t.Errorf("ldconfig begins with %q, we with %q", data[:cacheHeaderSize], ours[:cacheHeaderSize])
	}
	if again := decodeCache(encodeCache(entries, thisArch().cacheFlags)); !slices.Equal(again, entries) {
		t.Errorf("encoding and decoding changes the entries:\n%v\n%v", entries, again)
	}
}

// TestCacheIsRefreshed puts the cache of a runtime's hook in the place of ours.
func TestCacheIsRefreshed(t *testing.T) {
	good := []cacheEntry{{"libcuda.so", farmDir + "/libcuda.so"}, {"libcuda.so.1", debianLibs + "/libcuda.so.1"}, {"libnvidia-ml.so", farmDir + "/libnvidia-ml.so"},
		{"libnvidia-ml.so.1", farmDir + "/libnvidia-ml.so.1"}, {"libnvidia-ptxjitcompiler.so.1", farmDir + "/libnvidia-ptxjitcompiler.so.1"}}
	for _, test := range []struct {
		name    string
		entries []cacheEntry
		refresh bool
	}{
		{"all of it", good, false},
		{"a library of something else that is gone", append([]cacheEntry{{"libx.so", "/gone"}}, good...), false},
		{"no development link", good[1:], true},
		{"nothing", nil, true},
		{"a driver that is gone", append([]cacheEntry{{"libcuda.so.1", debianLibs + "/libcuda.so.1.gone"}}, good...), true},
		{"an empty one", append([]cacheEntry{{"libnvidia-nvvm.so.4", "/empty"}}, good...), true},
	} {
		h := newHost(t)
		h.cdi(newVersion)
		h.write("/empty", "")
		h.setup()
		h.write(cachePath, string(encodeCache(test.entries, thisArch().cacheFlags)))
		r := h.setup()
		if slices.Contains(r.Notes, "refreshed /etc/ld.so.cache") != test.refresh || len(r.Problems) > 0 {
			t.Errorf("%s: notes %q, problems %q", test.name, r.Notes, r.Problems)
		}
	}
}

func TestConfDirs(t *testing.T) {
	h := newHost(t)
	h.must(os.Remove(h.path(confDir + "/50-image.conf")))
	h.write(confPath, "# a comment\n/first/ # another\n\ninclude /etc/ld.so.conf.d/*.conf\nhwcap 1 odd\nrelative\n")
	h.write(confDir+"/b.conf", "/third\n")
	h.write(confDir+"/a.conf", "/second\n")
	h.write(confDir+"/c.txt", "/not this\n")
	w := newWork(h.options())
	if got, want := w.confDirs(confPath, 0), []string{"/first", "/second", "/third"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	h.write(confDir+"/itself.conf", "include /etc/ld.so.conf.d/itself.conf\n/last\n")
	if got := w.confDirs(confPath, 0); !slices.Contains(got, "/last") {
		t.Errorf("got %q", got)
	}
}

func FuzzDecodeCache(f *testing.F) {
	data := encodeCache([]cacheEntry{{"liba.so", "/lib/liba.so"}, {"libb.so.1", "/lib/libb.so.1"}}, 0x0303)
	f.Add(data)
	f.Add(append([]byte("ld.so-1.7.0\x00\x01\x00\x00\x00............"), data...))
	for n := range data {
		f.Add(data[:n])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range decodeCache(data) {
			if len(e.name)+len(e.path) > 2*len(data) {
				t.Errorf("an entry larger than the cache: %v", e)
			}
		}
	})
}

package layer

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// TestDatabase lets Nix itself read the registration, and write it again.
func TestDatabase(t *testing.T) {
	s := newStore(t)
	a := s.add(t, "a-1", tree{"a": "1"})
	b := s.add(t, "b-1", tree{"b": "2"}, a.Path)
	b.References = append(b.References, b.Path) // as most packages do
	c := s.add(t, "c-1", tree{"c": "3"}, b.Path, a.Path)
	d := s.add(t, "d-1", tree{"d": "4"})
	list := layersOf(t, plan.Plan{Closure: []plan.Path{d, b, c, a}, Rootfs: plan.Rootfs{Path: aPath("rootfs", 1)}, Database: true})
	l := list[len(list)-2]
	links := map[string]string{}
	var names []string
	var text []byte
	for _, m := range l.Made {
		names = append(names, m.Name)
		if m.Link != "" {
			links[m.Name] = m.Link
		}
		if m.Name == strings.TrimPrefix(Registration, "/") {
			text = m.Data
		}
	}
	roots := map[string]string{
		"nix/var/nix/gcroots/nix2vast/" + c.Base(): c.Path, "nix/var/nix/gcroots/nix2vast/" + d.Base(): d.Path,
	}
	if !same(links, roots) || !slices.IsSorted(names) || l.Size != int64(len(text)+len("10")) {
		t.Errorf("%v of %v, want %v", links, names, roots)
	}
	if i := slices.IndexFunc(l.Made, func(m Made) bool { return m.Name == "nix/var/nix/db/schema" }); i < 0 || string(l.Made[i].Data) != "10" {
		t.Error("Nix would work before it knows the store")
	}
	for _, dir := range []string{"db", "gcroots", "profiles", "temproots", "userpool"} {
		if !slices.Contains(names, "nix/var/nix/"+dir) {
			t.Errorf("there is no %s in %v", dir, names)
		}
	}
	nixStore := func(in string, args ...string) string {
		cmd := exec.Command("nix-store", append([]string{"--store", string(s)}, args...)...)
		cmd.Stdin, cmd.Env = strings.NewReader(in), append(os.Environ(), "NIX_CONFIG=build-users-group =\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	nixStore(string(text), "--load-db")
	got, want := strings.Split(nixStore("", "--dump-db"), "\n"), strings.Split(string(text), "\n")
	slices.Sort(got) // Nix writes the paths in the order of its references
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Nix has read\n%s\nof\n%s", strings.Join(got, "\n"), text)
	}
	if out := nixStore("", "--verify", "--check-contents"); strings.Contains(out, "error") {
		t.Error(out)
	}
	if out := nixStore("", "-qR", c.Path); len(strings.Fields(out)) != 3 {
		t.Errorf("the closure of c is %s", out)
	}
}

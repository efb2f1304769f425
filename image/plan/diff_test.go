package plan

import (
	"reflect"
	"testing"
)

func TestPackage(t *testing.T) {
	for title, want := range map[string][2]string{
		"bash-5.2.15":              {"bash", "5.2.15"},
		"openssl-3.0.1-dev":        {"openssl", "3.0.1"},
		"gcc-12.2.0-lib":           {"gcc", "12.2.0"},
		"gcc-lib-12.2.0":           {"gcc", "12.2.0"},
		"python3.12-numpy-1.26":    {"python3.12-numpy", "1.26"},
		"libcublas-12.8.3.14":      {"libcublas", "12.8.3.14"},
		"perl":                     {"perl", ""},
		"x-":                       {"x-", ""},
		"linux-headers-static-6.7": {"linux-headers", "6.7"},
		"a-b-unstable-2024-01-02":  {"a-b-unstable", "2024-01-02"},
		"":                         {"", ""},
		"-dev":                     {"-dev", ""},
	} {
		if name, version := Package(title); name != want[0] || version != want[1] {
			t.Errorf("%q is %q %q, want %q", title, name, version, want)
		}
	}
}

func TestDiff(t *testing.T) {
	path := func(hash, title string, size int64) Path {
		return Path{Path: StoreDir + "/" + hash + "-" + title, NarHash: hash, NarSize: size}
	}
	old := Plan{Closure: []Path{
		path("a", "bash-5.1", 10), path("b", "openssl-3.0", 20), path("c", "openssl-3.0-dev", 5),
		path("d", "gone-1", 7), path("e", "same-1", 1), path("f", "rebuilt-1", 3), path("g", "both-1", 1),
	}}
	new := Plan{Closure: []Path{
		path("h", "bash-5.2", 12), path("i", "openssl-3.1", 21), path("j", "openssl-3.1-dev", 5),
		path("e", "same-1", 1), path("k", "rebuilt-1", 3), path("l", "added", 4), path("g", "both-1", 1), path("m", "both-2", 1),
	}}
	want := []Change{
		{"added", []string{}, []string{""}, 4},
		{"bash", []string{"5.1"}, []string{"5.2"}, 2},
		{"both", []string{"1"}, []string{"1", "2"}, 1},
		{"gone", []string{"1"}, []string{}, -7},
		{"openssl", []string{"3.0"}, []string{"3.1"}, 1},
		{"rebuilt", []string{"1"}, []string{"1"}, 0},
	}
	got := Diff(old, new)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the difference is\n%v\nwant\n%v", got, want)
	}
	if got[0].Rebuilt() || !got[5].Rebuilt() {
		t.Error("what is rebuilt is not told from what is new")
	}
	if none := Diff(old, old); len(none) != 0 {
		t.Errorf("a plan differs from itself: %v", none)
	}
}

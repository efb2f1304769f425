package plan

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"
)

// ../testdata/sample.json is what every option of config/ comes to. A plan is made of it, and
// nothing is wrong with that.
func TestSampleIsPlan(t *testing.T) {
	b, err := os.ReadFile("../testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct{ Image map[string]any }
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	delete(sample.Image, "modes") // files that a build would make
	delete(sample.Image, "owners")
	var graph []Path
	for _, path := range regexp.MustCompile(`/nix/store/[a-z0-9]{32}-[a-zA-Z0-9._-]+`).FindAllString(string(b), -1) {
		graph = append(graph, Path{Path: path, NarHash: "sha256:" + "0000000000000000000000000000000000000000000000000000", NarSize: 1})
	}
	attrs, err := json.Marshal(map[string]any{"outputs": map[string]string{"out": "/x"}, "image": sample.Image, "graph": graph})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := Build(attrs, noFile)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "everything" || p.Tag != "v1.2" || !slices.Equal(p.Registries, []string{"ghcr.io/owner", "localhost:5000"}) {
		t.Errorf("the plan is %+v", p)
	}
	if len(p.Groups) != 7 || p.Groups[4].Name != "cuda" || p.Layers.Max != 60 || p.Config.User != "0:0" {
		t.Errorf("the plan is %+v", p)
	}
}

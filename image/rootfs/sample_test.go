package rootfs

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

// ../testdata/sample.json is what every option of config/ comes to, and these are options of
// a root file system.
func TestSampleIsOptions(t *testing.T) {
	b, err := os.ReadFile("../testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct{ Rootfs json.RawMessage }
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	var o Options
	d := json.NewDecoder(bytes.NewReader(sample.Rootfs))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		t.Fatal(err)
	}
	if f := o.Files["/etc/motd"]; f.Text == nil || *f.Text != "two\nlines\n" || f.Mode != "0600" {
		t.Errorf("/etc/motd is %+v", f)
	}
	if o.Links["/opt/python"] == "" || o.Directories["/data"].Mode != "1777" || len(o.Foreign) != 3 || o.Packages[0] != pkg("ffmpeg") {
		t.Errorf("the options are %+v", o)
	}
}

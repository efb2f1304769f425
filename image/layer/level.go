package layer

import (
	"fmt"
	"strconv"
	"strings"
)

// highest is the last level that a compression has; each has those from 1 on. None has none.
var highest = map[Compression]int{Gzip: 9, Zstd: 22, None: 0}

// At is a compression at a level, such as gzip:9, and at 0 the compression itself, with a level
// of our choice. They are two compressions in all that is known by one: no blob of one level is
// taken for that of another. The levels of zstd are those of its own program, for which there
// are four kinds of effort here: 1 and 2, 3 to 5, 6 to 9, and above.
func (c Compression) At(level int) (Compression, error) {
	last, ok := highest[c]
	switch {
	case !ok:
		return "", fmt.Errorf("compression %q is none of gzip, zstd and none", string(c))
	case level == 0:
		return c, nil
	case c == None:
		return "", fmt.Errorf("what is not compressed has no level: choose gzip or zstd, or leave the level out")
	case level < 1 || level > last:
		return "", fmt.Errorf("%d is no level of %s, which has 1 to %d", level, c, last)
	}
	return Compression(string(c) + ":" + strconv.Itoa(level)), nil
}

// Levels are a compression as it is and at each level.
func (c Compression) Levels() []Compression {
	list := make([]Compression, highest[c]+1)
	for n := range list {
		list[n], _ = c.At(n) // it has all of these
	}
	return list
}

// Format is the compression without its level: what readers see of it.
func (c Compression) Format() Compression {
	format, _, _ := strings.Cut(string(c), ":")
	return Compression(format)
}

// Level is 0 where it is of our choice.
func (c Compression) Level() int {
	_, text, _ := strings.Cut(string(c), ":")
	level, _ := strconv.Atoi(text) // At makes no other than numbers
	return level
}

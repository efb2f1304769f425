package gpu

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

var (
	// errStatic means that a program needs no loader, and so no edit.
	errStatic = errors.New("is statically linked")
	// errNoRoom means that a sound program has no place for a RUNPATH.
	errNoRoom = errors.New("has no room for a RUNPATH")
)

// Sizes of a 64-bit ELF file, from elf(5).
const (
	headerSize  = 64 // Elf64_Ehdr
	segmentSize = 56 // Elf64_Phdr
	dynamicSize = 16 // Elf64_Dyn
)

// smallestPage is the page size that every kernel maps in multiples of; what
// follows a segment's last byte up to this boundary is mapped with it.
const smallestPage = 4096

// caveGap keeps zero bytes between a segment's last byte and what is put behind
// it: unwind tables are read up to a zero word.
const caveGap = 8

var le = binary.LittleEndian

// checkHeader says in one sentence why head, the start of a file, does not begin
// a 64-bit little-endian ELF file for machine.
func checkHeader(head []byte, machine elf.Machine) error {
	switch {
	case len(head) == 0:
		return errors.New("is empty")
	case bytes.HasPrefix(head, []byte("#!")):
		return errors.New("is a script")
	case !bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return errors.New("is not an ELF file")
	case len(head) < headerSize:
		return errors.New("is cut off within its ELF header")
	case elf.Class(head[elf.EI_CLASS]) != elf.ELFCLASS64:
		return errors.New("is not a 64-bit ELF file")
	case elf.Data(head[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return errors.New("is not a little-endian ELF file")
	}
	if m := elf.Machine(le.Uint16(head[18:])); m != machine {
		return fmt.Errorf("is for another machine: %v, not %v", m, machine)
	}
	return nil
}

// A span is a range of bytes of a file.
type span struct{ from, to uint64 }

func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }

// A segment is one program header, and where in the file that header is.
type segment struct {
	elf.Prog64
	at uint64
}

// bytes is the part of the file that the segment holds.
func (s segment) bytes() span { return span{s.Off, s.Off + s.Filesz} }

// A program is an ELF executable whose headers were found sound: what they point
// to is inside the file.
type program struct {
	data     []byte
	segments []segment
	taken    []span // header tables and sections
}

// parseProgram checks data and finds its segments.
func parseProgram(data []byte, machine elf.Machine) (*program, error) {
	if err := checkHeader(data[:min(len(data), headerSize)], machine); err != nil {
		return nil, err
	}
	if t := elf.Type(le.Uint16(data[16:])); t != elf.ET_EXEC && t != elf.ET_DYN {
		return nil, fmt.Errorf("is not a program: %v", t)
	}
	table, count, size := le.Uint64(data[32:]), uint64(le.Uint16(data[56:])), le.Uint16(data[54:])
	if size != segmentSize {
		return nil, fmt.Errorf("is damaged: its program headers have %d bytes each", size)
	}
	length := uint64(len(data))
	if table > length || count*segmentSize > length-table {
		return nil, errors.New("is cut off: its program headers are missing")
	}
	p := &program{data: data, taken: []span{{0, headerSize}, {table, table + count*segmentSize}}}
	for i := range count {
		s := segment{at: table + i*segmentSize}
		if _, err := binary.Decode(data[s.at:s.at+segmentSize], le, &s.Prog64); err != nil {
			return nil, fmt.Errorf("is damaged: %w", err)
		}
		if s.Off > length || s.Filesz > length-s.Off {
			return nil, fmt.Errorf("is cut off: a segment of %d bytes begins at byte %d of %d", s.Filesz, s.Off, length)
		}
		if s.Vaddr > math.MaxInt64 || s.Filesz > s.Memsz && elf.ProgType(s.Type) == elf.PT_LOAD {
			return nil, errors.New("is damaged: a segment does not fit its place in memory")
		}
		p.segments = append(p.segments, s)
	}
	return p, p.readSections()
}

// readSections notes which bytes sections use, so that nothing is put there.
func (p *program) readSections() error {
	f, err := elf.NewFile(bytes.NewReader(p.data))
	if err != nil {
		return fmt.Errorf("is damaged: %w", err)
	}
	table, size, count := le.Uint64(p.data[40:]), uint64(le.Uint16(p.data[58:])), uint64(len(f.Sections))
	p.taken = append(p.taken, span{table, table + size*count})
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS {
			continue
		}
		at := span{s.Offset, s.Offset + s.FileSize}
		if at.to > uint64(len(p.data)) {
			return fmt.Errorf("is cut off: section %s ends at byte %d of %d", s.Name, at.to, len(p.data))
		}
		p.taken = append(p.taken, at)
	}
	return nil
}

// one is the only segment of a type; nil when there is none, or more.
func (p *program) one(kind elf.ProgType) *segment {
	var found *segment
	for i, s := range p.segments {
		if elf.ProgType(s.Type) != kind {
			continue
		}
		if found != nil {
			return nil
		}
		found = &p.segments[i]
	}
	return found
}

// dynamic is the dynamic section: where in the file the entries with these tags
// have their values, and where the spare entries at its end begin. An entry of
// zeros ends the section; linkers leave some more behind it.
type dynamic struct {
	values map[elf.DynTag]uint64
	places map[elf.DynTag]uint64
	spare  uint64 // 0: no entry may be used
}

func (p *program) readDynamic() (dynamic, error) {
	d := dynamic{values: map[elf.DynTag]uint64{}, places: map[elf.DynTag]uint64{}}
	s := p.one(elf.PT_DYNAMIC)
	if s == nil {
		return d, errors.New("is damaged: it has no dynamic section")
	}
	for at := s.Off; s.bytes().to-at >= dynamicSize; at += dynamicSize {
		tag := elf.DynTag(le.Uint64(p.data[at:]))
		if tag == elf.DT_NULL {
			next := p.data[at:min(at+2*dynamicSize, s.bytes().to)]
			if len(next) == 2*dynamicSize && bytes.Count(next, []byte{0}) == len(next) {
				d.spare = at
			}
			return d, nil
		}
		d.values[tag], d.places[tag] = le.Uint64(p.data[at+8:]), at
	}
	return d, nil // ld leaves out even the last entry when told to spare none
}

// stringAt reads the string at an address of the loaded program, up to the end
// of the page that its segment ends in.
func (p *program) stringAt(address uint64) (string, error) {
	for _, s := range p.segments {
		if elf.ProgType(s.Type) != elf.PT_LOAD || address < s.Vaddr {
			continue
		}
		from, to := s.Off+(address-s.Vaddr), min(pageEnd(s.bytes().to), uint64(len(p.data)))
		if from < s.Off || from >= to {
			continue
		}
		if n := bytes.IndexByte(p.data[from:to], 0); n >= 0 {
			return string(p.data[from : from+uint64(n)]), nil
		}
	}
	return "", fmt.Errorf("is damaged: there is no string at address %#x", address)
}

func pageEnd(offset uint64) uint64 { return (offset + smallestPage - 1) &^ (smallestPage - 1) }

// cave finds length unused bytes that are mapped together with a read-only
// segment: the zeros between its end and the end of its last page. It returns
// their place in the file and in memory.
func (p *program) cave(length uint64) (at span, address uint64, ok bool) {
	for _, s := range p.segments {
		if elf.ProgType(s.Type) != elf.PT_LOAD || elf.ProgFlag(s.Flags)&elf.PF_W != 0 || s.Filesz != s.Memsz {
			continue
		}
		from := s.bytes().to + caveGap
		at = span{from, from + length}
		if at.to > min(pageEnd(s.bytes().to), uint64(len(p.data))) || p.used(at) {
			continue
		}
		return at, s.Vaddr + (from - s.Off), true
	}
	return span{}, 0, false
}

// used says whether anything but padding is in these bytes.
func (p *program) used(at span) bool {
	for _, t := range p.taken {
		if t.overlaps(at) {
			return true
		}
	}
	for _, s := range p.segments {
		if s.bytes().overlaps(at) {
			return true
		}
	}
	return slices.ContainsFunc(p.data[at.from:at.to], func(c byte) bool { return c != 0 })
}

// edit returns a copy of the program in data that is started by the loader
// interp and looks for libraries in runpath first. Nothing in the file moves:
// the loader's name is appended (the kernel reads it by file offset), the
// RUNPATH's string goes into padding and its entry into a spare one of the
// dynamic section (glibc does not mind a string outside of DT_STRSZ).
//
// Every error is the end of a sentence that begins with the file's name;
// errStatic and errNoRoom say that the program is sound.
func edit(data []byte, machine elf.Machine, interp, runpath string) ([]byte, error) {
	p, err := parseProgram(data, machine)
	if err != nil {
		return nil, err
	}
	loader := p.one(elf.PT_INTERP)
	if loader == nil {
		return nil, errStatic
	}
	d, err := p.readDynamic()
	if err != nil {
		return nil, err
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		if value, ok := d.values[tag]; ok { // RPATH is ignored where RUNPATH is
			old, err := p.stringAt(d.values[elf.DT_STRTAB] + value)
			if err != nil {
				return nil, err
			}
			runpath += ":" + old
			break
		}
	}
	slot, ok := d.places[elf.DT_RUNPATH]
	if !ok {
		slot = d.spare
	}
	text := append([]byte(runpath), 0)
	hole, address, ok := p.cave(uint64(len(text)))
	if !ok || slot == 0 {
		return nil, errNoRoom
	}

	out := append(slices.Clone(data), interp+"\x00"...)
	length := uint64(len(interp) + 1)
	le.PutUint64(out[loader.at+8:], uint64(len(data))) // p_offset
	le.PutUint64(out[loader.at+32:], length)           // p_filesz
	le.PutUint64(out[loader.at+40:], length)           // p_memsz
	le.PutUint64(out[slot:], uint64(elf.DT_RUNPATH))
	le.PutUint64(out[slot+8:], address-d.values[elf.DT_STRTAB])
	copy(out[hole.from:], text)
	touched := []span{{loader.at + 8, loader.at + 16}, {loader.at + 32, loader.at + 48}, {slot, slot + dynamicSize}, hole}
	if err := verify(data, out, machine, interp, runpath, touched); err != nil {
		return nil, fmt.Errorf("cannot be edited: %w", err)
	}
	return out, nil
}

// verify reads an edited program anew, with debug/elf where that can, and
// compares it with what was wanted and with what it was made from.
func verify(old, edited []byte, machine elf.Machine, interp, runpath string, touched []span) error {
	before, err := parseProgram(old, machine)
	if err != nil {
		return err
	}
	after, err := parseProgram(edited, machine)
	if err != nil {
		return err
	}
	if len(after.segments) != len(before.segments) {
		return errors.New("the number of segments changed")
	}
	loader := after.one(elf.PT_INTERP)
	if loader == nil || string(edited[loader.Off:loader.bytes().to]) != interp+"\x00" {
		return errors.New("the loader is not the one that was set")
	}
	d, err := after.readDynamic()
	if err != nil {
		return err
	}
	value, ok := d.values[elf.DT_RUNPATH]
	if got, err := after.stringAt(d.values[elf.DT_STRTAB] + value); err != nil || !ok || got != runpath {
		return errors.New("the RUNPATH is not the one that was set")
	}
	rest := slices.Clone(edited[:len(old)])
	for _, s := range touched {
		copy(rest[s.from:s.to], old[s.from:s.to])
	}
	if !bytes.Equal(rest, old) {
		return errors.New("bytes changed that should not")
	}
	return nil
}

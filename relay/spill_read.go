package relay

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// How a request gets into a file. That is the client goroutine's work from beginning to
// end: it may wait for the disk, and the client is read no faster than that.

// spillRoom is what a request needs that goes to a file.
type spillRoom struct {
	head charge // for header and annotations
	file charge
}

// spillRoom takes that, where the request which the buffer begins with is to go to a file.
// It waits where there is no other way; memory comes before disk, so that whoever has disk
// waits for nobody. It drops the buffer where the session ends meanwhile.
func (p *pump) spillRoom() (r spillRoom, ok bool) {
	if p.taken.Spill == 0 || p.taken.Need > 0 && p.buf.want == 0 {
		return spillRoom{}, false
	}
	s := p.d.listener.server
	waits := p.taken.Need == 0 // otherwise it waits for memory for all of it
	take := func(account *memory, n int) (charge, bool) {
		if !account.tryTake(n) && (!waits || p.d.waitMemory(account, n) != nil) {
			return charge{}, false
		}
		return charge{account, n}, true
	}
	ok = true
	if p.buf.charge.bytes > 0 {
		r.head = p.buf.handOver()
	} else if p.taken.Cut > freeSize {
		r.head, ok = take(s.requests, p.taken.Cut)
	}
	if ok {
		r.file, ok = take(s.spills.account, s.spills.size(p.taken.Spill))
	}
	if !ok {
		r.head.settle()
		if waits {
			p.buf.drop() // the session is over
		}
		return spillRoom{}, false
	}
	return r, true
}

// spill reads that request into a file, which it has room for, and begins its delivery. It
// reports false where the session has changed its mind before anything has happened.
func (p *pump) spill(room spillRoom) (done bool) {
	d, k := p.d, p.d.listener.server.spills
	wanted := false
	d.event(func(now time.Duration) { wanted = d.session.Spill(now, p.buf.b) })
	if !wanted {
		room.head.settle()
		room.file.settle()
		return false
	}
	head := slices.Clone(p.buf.b[:p.taken.Cut])
	f, err := k.open(room.file)
	if err == nil {
		err = f.write(p.buf.b[p.taken.Cut:])
	}
	left := p.taken.Spill - int64(len(p.buf.b))
	p.buf.drop()
	whole := false
	if err == nil {
		whole, err = p.fill(f, left)
	}
	if whole && err == nil {
		err = d.digest(f)
	}
	switch {
	case err != nil:
		d.event(func(now time.Duration) { d.session.SpillFailed(now, err) })
	case whole:
		d.event(func(now time.Duration) {
			if rd := d.session.Spilled(now, head); rd != nil {
				d.deliverSpilledLocked(now, rd, f, head, room.head)
				f, room.head = nil, charge{}
			}
		})
		k.metrics.Requests.Inc()
	}
	room.head.settle()
	if f != nil {
		f.close()
	}
	return true
}

// digest has the data of a signed request signed anew.
func (d *driver) digest(f *spilled) error {
	d.mu.Lock()
	w := d.session.SpillDigest()
	d.mu.Unlock()
	if w == nil {
		return nil
	}
	buf := movePool.Get().(*[moveSize]byte)
	defer movePool.Put(buf)
	if _, err := io.CopyBuffer(w, io.NewSectionReader(f.file, 0, f.bytes), buf[:]); err != nil {
		return f.store.failed(err)
	}
	return nil
}

// fill reads left bytes from the client into f. It reports false where not all of them come,
// or the session has ended, and sets readErr where that is for run to deal with. The error
// is that of f.
func (p *pump) fill(f *spilled, left int64) (whole bool, err error) {
	step := p.copyStep
	file, ok := f.file.(*os.File)
	if ok && p.src.raw != nil {
		if pipe, pipeErr := takePipe(); pipeErr == nil {
			emptied := true
			defer func() {
				if emptied {
					givePipe(pipe)
				} else {
					pipe.close()
				}
			}()
			step = func(f *spilled, left int64, read func(int64) bool) (bool, error, error) {
				emptied = false
				wanted, readErr, err := f.fill(pipe, p.src, file, left, read)
				emptied = wanted && err == nil
				return wanted, readErr, err
			}
		} // no descriptor to spare: copy
	}
	read := func(n int64) (wanted bool) {
		left -= n
		p.d.event(func(now time.Duration) { wanted = p.d.session.SpillRead(now, n) })
		return wanted
	}
	for left > 0 {
		p.awaits()
		wanted, readErr, err := step(f, left, read)
		switch {
		case err != nil:
			return false, err
		case !wanted:
			return false, nil
		case errors.Is(readErr, os.ErrDeadlineExceeded): // somebody wanted us to look
			p.src.conn.SetReadDeadline(time.Time{})
		case readErr != nil:
			p.readErr = readErr
			return false, nil
		}
	}
	return true, nil
}

// copyStep is spilled.fill through a buffer.
func (p *pump) copyStep(f *spilled, left int64, read func(int64) bool) (wanted bool, readErr, err error) {
	buf := movePool.Get().(*[moveSize]byte)
	defer movePool.Put(buf)
	n, readErr := p.src.conn.Read(buf[:min(left, moveSize)])
	if n == 0 {
		if readErr == nil {
			readErr = io.ErrNoProgress
		}
		return true, readErr, nil
	}
	if !read(int64(n)) {
		return false, nil, nil
	}
	return true, nil, f.write(buf[:n])
}

// awaits is called before waiting for more of a request: it is the client's turn.
func (p *pump) awaits() {
	d := p.d
	d.mu.Lock()
	now := d.listener.server.now()
	d.session.Reading(now)
	d.setWheel(now)
	d.mu.Unlock()
}

// deliverSpilledLocked begins the delivery of a request whose data is in f. head is its
// header and annotations, which c is for. It does not wait. The driver's lock is held.
func (d *driver) deliverSpilledLocked(now time.Duration, rd *router.Delivery, f *spilled, head []byte, c charge) {
	x := d.newDeliveryLocked(rd)
	x.message, x.file = head, f
	d.running++ // until the file is closed
	if c.bytes > 0 {
		x.charge.add(c)
	}
	for i := range x.legs {
		x.spawn(x.legs[i].run) // reading the file may wait
	}
	d.session.Handed(now, rd)
}

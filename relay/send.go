package relay

import (
	"time"

	"github.com/pyro-dispatch/pyro-dispatch/backend"
	"github.com/pyro-dispatch/pyro-dispatch/router"
)

// ownSendTime bounds the writing of a message of ours. A refusal, an exception
// or a PING fits any socket's buffer; a CONNECT may have to wait for the daemon to
// read, which answerBy bounds.
const ownSendTime = 5 * time.Second

// send writes a message of ours, or one that the session kept.
func (d *driver) send(p router.Port, b []byte) {
	l, err := d.link(p)
	if l == nil && err == nil {
		return
	}
	if err == nil {
		err = d.write(l, p, b)
	}
	if err != nil {
		d.event(func(now time.Duration) { d.session.WriteFailed(now, p, err) })
	} else if p == router.Client {
		d.event(func(now time.Duration) { d.session.Sent(now, p) })
	}
}

// sendLast writes a message behind which the lease of a pooled connection ends. The
// session may have bound another connection meanwhile, so that this one is not looked for
// by its port: a PING that is not written is never answered, and the connection would
// rest for ever.
func sendLast(lease *backend.Lease, b []byte) {
	c := lease.Conn
	c.SetWriteDeadline(time.Now().Add(ownSendTime))
	if _, err := c.Write(b); err != nil {
		c.Conn.Close() // its reader comes upon the end
		return
	}
	c.SetWriteDeadline(time.Time{})
}

func (d *driver) write(l *link, p router.Port, b []byte) error {
	if p == router.Client { // the answer of a dispatched call may be large
		_, err := l.push(b, max(ownSendTime, d.session.SendTimeout()))
		return err
	}
	if l.pooled {
		l.conn.SetWriteDeadline(time.Now().Add(ownSendTime))
	}
	_, err := l.conn.Write(b)
	switch {
	case err == nil:
		l.conn.SetWriteDeadline(time.Time{}) // replies may take their time
	case l.pooled:
		l.conn.Close() // a part may have been written: nobody can use it any more
	}
	return err
}

// link is the connection behind a port, nil where that port is gone. There is an
// error where the connection of the session's lease has ended already.
func (d *driver) link(p router.Port) (*link, error) {
	if p == router.Client {
		return d.client, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.linkLocked(p)
}

func (d *driver) linkLocked(p router.Port) (*link, error) {
	if p == router.Client {
		return d.client, nil
	}
	if err := d.bindLocked(p); err != nil {
		return nil, err
	}
	if p == d.legPort {
		return d.leg, nil
	}
	return nil, nil
}

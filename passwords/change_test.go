package passwords

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"userinfo/access"
	"userinfo/store"
)

// md5Hash returns MediaWiki's oldest hash of a password.
func md5Hash(password string) Secret {
	sum := md5.Sum([]byte(password))
	return Secret(":A:" + hex.EncodeToString(sum[:]))
}

// hookedRows is rows that call functions before they write or decide. An error of a function is the result.
type hookedRows struct {
	Rows
	beforeWrite func(context.Context, store.Consistency) error
	afterDecide func() error
	everywhere  error  // of ReadEverywhere
	onRead      func() // in ReadEverywhere
	unrecorded  error  // of RecordPending
	pending     int
}

func (r *hookedRows) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	if r.beforeWrite != nil {
		if err := r.beforeWrite(ctx, c); err != nil {
			return err
		}
	}
	return r.Rows.Write(ctx, key, record, timestamp, c)
}

func (r *hookedRows) Decide(ctx context.Context, key access.Key, seen Row, record []byte) (bool, error) {
	decided, err := r.Rows.Decide(ctx, key, seen, record)
	if r.afterDecide != nil {
		return false, r.afterDecide()
	}
	return decided, err
}

func (r *hookedRows) ReadEverywhere(ctx context.Context, key access.Key) (Row, error) {
	if r.onRead != nil {
		r.onRead()
	}
	if r.everywhere != nil {
		return Row{}, r.everywhere
	}
	return r.Rows.ReadEverywhere(ctx, key)
}

func (r *hookedRows) RecordPending(ctx context.Context, _ access.Key, _ int64) error {
	if err := errors.Join(ctx.Err(), r.unrecorded); err != nil {
		return err
	}
	r.pending++
	return nil
}

// hook puts hookedRows in front of the rows of u.
func (u *testUsers) hook() *hookedRows {
	rows := &hookedRows{Rows: u.rows}
	u.Users.rows = rows
	return rows
}

func (u *testUsers) change(ctx context.Context, user access.Key, current, replacement Secret) error {
	u.Helper()
	return u.Change(ctx, u.as(access.Change, user), user, Guess{Secret: current}, replacement)
}

func (u *testUsers) importHash(user access.Key, hash Secret) error {
	u.Helper()
	return u.Import(u.Context(), u.as(access.Import, user), user, hash)
}

// linkedMemory is the memory of one of two datacentres, and a link that can be cut.
type linkedMemory struct {
	*Memory
	other *Memory
	cut   *bool
}

func (m *linkedMemory) Write(ctx context.Context, key access.Key, record []byte, timestamp int64, c store.Consistency) error {
	if c == store.EachQuorum {
		if *m.cut {
			return store.ErrUnavailable
		}
		if err := m.other.Write(ctx, key, record, timestamp, c); err != nil {
			return err
		}
	}
	return m.Memory.Write(ctx, key, record, timestamp, c)
}

// ReadEverywhere returns the newer record of both datacentres, and repairs the older one.
func (m *linkedMemory) ReadEverywhere(ctx context.Context, key access.Key) (Row, error) {
	if *m.cut {
		return Row{}, store.ErrUnavailable
	}
	m.mu.Lock()
	mine := memoryCell{}
	if row := m.rows[key]; row != nil {
		mine = row.written
	}
	m.mu.Unlock()
	m.other.mu.Lock()
	theirs := memoryCell{}
	if row := m.other.rows[key]; row != nil {
		theirs = row.written
	}
	m.other.mu.Unlock()
	_ = m.Memory.Write(ctx, key, theirs.data, theirs.timestamp, store.LocalQuorum)
	_ = m.other.Write(ctx, key, mine.data, mine.timestamp, store.LocalQuorum)
	return m.Memory.Read(ctx, key)
}

// Decide decides in both datacentres.
func (m *linkedMemory) Decide(ctx context.Context, key access.Key, seen Row, record []byte) (bool, error) {
	if *m.cut {
		return false, store.ErrUnavailable
	}
	if decided, err := m.Memory.Decide(ctx, key, seen, record); err != nil || !decided {
		return decided, err
	}
	there, err := m.other.Read(ctx, key)
	if err != nil {
		return false, err
	}
	return m.other.Decide(ctx, key, there, record)
}

func (m *linkedMemory) WriteToken(ctx context.Context, key access.Key, token []byte, timestamp int64, ttl time.Duration) error {
	if *m.cut {
		return store.ErrUnavailable
	}
	return errors.Join(m.Memory.WriteToken(ctx, key, token, timestamp, ttl), m.other.WriteToken(ctx, key, token, timestamp, ttl))
}

// skewedDatacentres returns users in two datacentres: in the first one, the clock is ahead, and a change to "password A"
// was made while it was cut off. The link is healed, and the second datacentre still has "first password".
func skewedDatacentres(t *testing.T) (ahead, right *testUsers) {
	t.Helper()
	ahead = newTestUsersAt(t, func() time.Time { return time.Now().Add(900 * time.Millisecond) })
	right = newTestUsers(t)
	right.records, right.tokens = ahead.records, ahead.tokens
	cut := false
	near, far := NewMemory(1<<20, time.Now), NewMemory(1<<20, time.Now)
	ahead.Users.rows, right.Users.rows = &linkedMemory{near, far, &cut}, &linkedMemory{far, near, &cut}
	hash, err := ahead.hash(t.Context(), "wiki", []byte("first password"))
	if err != nil {
		t.Fatal(err)
	}
	old := record{state: hasHash, since: time.Now().Add(-time.Hour).UnixMicro(), hash: hash.Text()}
	if err := ahead.writeEverywhere(t.Context(), "Known", old); err != nil {
		t.Fatal(err)
	}
	cut = true
	if err := ahead.change(t.Context(), "Known", "first password", "password A"); !errors.Is(err, ErrNotEverywhere) {
		t.Fatalf("during the cut: error %v, want %v", err, ErrNotEverywhere)
	}
	cut = false
	return ahead, right
}

// wantOnly checks that only this password is right, in both datacentres.
func wantOnly(t *testing.T, ahead, right *testUsers, only Secret) {
	t.Helper()
	for _, password := range []Secret{"first password", "password A", "password B"} {
		var want error
		if password != only {
			want = ErrWrong
		}
		if got, there := ahead.check("Known", password), right.check("Known", password); !errors.Is(got, want) || !errors.Is(there, want) {
			t.Errorf("%s: %v near and %v far, want %v", string(password), got, there, want)
		}
	}
}

// TestUsers_TokenFollowsRecordOfClockThatIsAhead uses a reset token in the datacentre that has not seen the change.
func TestUsers_TokenFollowsRecordOfClockThatIsAhead(t *testing.T) {
	ahead, right := skewedDatacentres(t)
	token, _, err := right.NewResetToken(t.Context(), right.as(access.Reset, "Known"), "Known")
	if err != nil {
		t.Fatal(err)
	}
	if err := right.ChangeWithToken(t.Context(), right.as(access.Change, "Known"), "Known", Guess{Secret: token}, "password B"); err != nil {
		t.Fatal(err)
	}
	wantOnly(t, ahead, right, "password B")
}

// TestUsers_ChangeFollowsRecordOfClockThatIsAhead changes a password in the datacentre that has not seen the first change.
func TestUsers_ChangeFollowsRecordOfClockThatIsAhead(t *testing.T) {
	ahead, right := skewedDatacentres(t)
	if err := right.change(t.Context(), "Known", "first password", "password B"); !errors.Is(err, ErrWrong) {
		t.Errorf("the password was changed in the other datacentre: error %v, want %v", err, ErrWrong)
	}
	if err := right.change(t.Context(), "Known", "password A", "password B"); err != nil { // finds what is already repaired
		t.Error(err)
	}
	wantOnly(t, ahead, right, "password B")
}

// TestUsers_ChangeIsNotAcknowledgedIfAnotherRecordIsYounger lets a clock that is ahead write between the first read and the
// write, and lets the first read fail.
func TestUsers_ChangeIsNotAcknowledgedIfAnotherRecordIsYounger(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	rows := u.hook()
	rows.everywhere = store.ErrUnavailable // during a cut that ends now
	rows.beforeWrite = func(ctx context.Context, c store.Consistency) error {
		rows.everywhere = nil
		sealed, err := u.sealRecord("Known", record{state: deleted, since: time.Now().Add(time.Second).UnixMicro()})
		return errors.Join(err, rows.Rows.Write(ctx, u.records.RowKey("Known"), sealed, time.Now().Add(time.Second).UnixMicro(), c))
	}
	if err := u.change(t.Context(), "Known", "correct horse", "another horse"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want %v", err, store.ErrUnavailable)
	}
}

// TestUsers_ImportLosesToChange decides an import as late as possible before the write of a change.
func TestUsers_ImportLosesToChange(t *testing.T) {
	u := newTestUsers(t)
	if err := u.importHash("Old", md5Hash("first password")); err != nil {
		t.Fatal(err)
	}
	rows := u.hook()
	rows.beforeWrite = func(context.Context, store.Consistency) error {
		rows.beforeWrite = nil
		return u.importHash("Old", md5Hash("second password"))
	}
	if err := u.change(t.Context(), "Old", "first password", "chosen by the user"); err == nil {
		for password, want := range map[Secret]error{"second password": ErrWrong, "chosen by the user": nil} {
			if err := u.check("Old", password); !errors.Is(err, want) {
				t.Errorf("the change was acknowledged, and %s: %v, want %v", string(password), err, want)
			}
		}
	} else if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want %v", err, store.ErrUnavailable)
	}
}

// TestUsers_ChangeEndsTokenMadeWhileItHashes makes a reset token after a change has begun and before it writes.
func TestUsers_ChangeEndsTokenMadeWhileItHashes(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	release := occupy(t, u.options.Pool, 2)
	changed := make(chan error)
	go func() { changed <- u.change(t.Context(), "Known", "correct horse", "another horse") }()
	awaitWaiting(t, u.options.Pool, 1)
	token, _, err := u.NewResetToken(t.Context(), u.as(access.Reset, "Known"), "Known")
	if err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	if err := u.ChangeWithToken(t.Context(), u.as(access.Change, "Known"), "Known", Guess{Secret: token}, "a third horse"); !errors.Is(err, ErrWrong) {
		t.Errorf("a token that was made during the change: error %v, want %v", err, ErrWrong)
	}
}

// TestUsers_ChangeIsCarriedThroughWithoutClient cancels the request while the other datacentre does not answer.
func TestUsers_ChangeIsCarriedThroughWithoutClient(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	rows := u.hook()
	rows.beforeWrite = func(ctx context.Context, c store.Consistency) error {
		if c == store.EachQuorum {
			cancel() // the client is gone
			return store.ErrUnavailable
		}
		return ctx.Err()
	}
	if err := u.change(ctx, "Known", "correct horse", "another horse"); !errors.Is(err, ErrNotEverywhere) || rows.pending != 1 {
		t.Errorf("error %v, %d writes are pending, want %v and 1", err, rows.pending, ErrNotEverywhere)
	}
	rows.beforeWrite = nil
	if err := u.check("Known", "another horse"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	if err := u.change(ctx, "Known", "another horse", "a third horse"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a change of a client that has left before: error %v, want %v", err, store.ErrUnavailable)
	}
}

// TestUsers_ChangePromisesNothingIfItCannotBeRecorded changes a password while another datacentre is down and the list of pending
// changes cannot be written.
func TestUsers_ChangePromisesNothingIfItCannotBeRecorded(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	rows := u.hook()
	rows.unrecorded = errors.New("no quorum")
	rows.beforeWrite = func(_ context.Context, c store.Consistency) error {
		if c == store.EachQuorum {
			return store.ErrUnavailable
		}
		return nil
	}
	err := u.change(t.Context(), "Known", "correct horse", "another horse")
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrNotEverywhere) {
		t.Errorf("error %v, want %v", err, store.ErrUnavailable)
	}
	if n := testutil.ToFloat64(u.options.Metrics.unrecorded); n != 1 {
		t.Errorf("%v changes were counted as not recorded, want 1", n)
	}
	if err := u.check("Known", "another horse"); err != nil {
		t.Errorf("the new password here: %v", err)
	}
}

// TestUsers_ChangeIsRecordedAfterItIsWrittenHere shows that no entry is pending while a replay could not read the change.
func TestUsers_ChangeIsRecordedAfterItIsWrittenHere(t *testing.T) {
	for name, c := range map[string]struct {
		here    error // of the write in the local datacentre
		want    error
		pending int
	}{
		"written":     {nil, ErrNotEverywhere, 1},
		"not written": {store.ErrUnavailable, store.ErrUnavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			u := newTestUsers(t)
			u.prepare()
			rows := u.hook()
			rows.beforeWrite = func(_ context.Context, consistency store.Consistency) error {
				if consistency == store.EachQuorum {
					return store.ErrUnavailable
				}
				return c.here
			}
			if err := u.change(t.Context(), "Known", "correct horse", "another horse"); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if rows.pending != c.pending {
				t.Errorf("%d entries, want %d", rows.pending, c.pending)
			}
		})
	}
}

func TestIsSame_ComparesHashesOfTheSameTime(t *testing.T) {
	compared := record{state: hasHash, since: 1000, hash: "a"}
	for name, c := range map[string]struct {
		newest record
		want   bool
	}{
		"itself":                       {compared, true},
		"a rewrite":                    {record{state: hasHash, since: 1001, hash: "b"}, true},
		"another one of the same time": {record{state: hasHash, since: 1000, hash: "b"}, false},
		"a later change":               {record{state: hasHash, since: 1000 + store.TimestampStep, hash: "b"}, false},
		"deleted":                      {record{state: deleted, since: 1001}, false},
	} {
		if got := isSame(c.newest, compared); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// TestUsers_DecisionIsCarriedThroughWithoutClient cancels the request just before the decision.
func TestUsers_DecisionIsCarriedThroughWithoutClient(t *testing.T) {
	u := newTestUsers(t)
	ctx, cancel := context.WithCancel(t.Context())
	u.hook().onRead = cancel
	if err := u.Create(ctx, u.as(access.Create, "Known"), "Known", "correct horse"); err != nil {
		t.Errorf("a creation whose client leaves: %v", err)
	}
	if err := u.check("Known", "correct horse"); err != nil {
		t.Errorf("the password: %v", err)
	}
}

// TestUsers_CreateOfExistingUserNeedsNoHash closes the pool, so that every hash is refused.
func TestUsers_CreateOfExistingUserNeedsNoHash(t *testing.T) {
	u := newTestUsers(t)
	u.prepare()
	u.options.Pool.Close()
	for user, want := range map[access.Key]error{"Known": ErrExists, "Nobody": ErrBusy} {
		if err := u.Create(t.Context(), u.as(access.Create, user), user, "correct horse"); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", string(user), err, want)
		}
	}
}

// TestUsers_RepeatedImportIsConfirmedEverywhere repeats an import whose first attempt has reached one datacentre only.
func TestUsers_RepeatedImportIsConfirmedEverywhere(t *testing.T) {
	u := newTestUsers(t)
	rows := u.hook()
	rows.afterDecide = func() error {
		rows.everywhere = store.ErrUnavailable // from now on
		return store.ErrUnavailable
	}
	for range 2 {
		if err := u.importHash("Old", md5Hash("first password")); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("while a datacentre cannot be reached: error %v, want %v", err, store.ErrUnavailable)
		}
	}
	rows.everywhere = nil
	if err := u.importHash("Old", md5Hash("first password")); err != nil {
		t.Error(err)
	}
}

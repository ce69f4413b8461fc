-- Accepted with our fields on top, forged ones removed; then refused, then accepted again, on one connection.
function check(what, wrong) if wrong then error(what) end end

conn = mt.connect(socket)
check("connect", conn == nil)
check("conninfo", mt.conninfo(conn, "clean.example.net", "192.0.2.8") ~= nil)
check("conninfo reply", mt.getreply(conn) ~= SMFIR_CONTINUE)
mt.helo(conn, "clean.example.net")

-- Forged fields of our names are removed, the last first; ours are inserted at the top.
check("mail", mt.mailfrom(conn, "<a@example.net>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("rcpt", mt.rcptto(conn, "<b@example.org>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
mt.header(conn, "From", "a@example.net")
mt.header(conn, "X-Spam-Flag", "YES")
mt.header(conn, "X-Spam-Flag", "YES")
mt.eoh(conn)
if not mt.test_option(conn, SMFIP_NOBODY) then mt.bodystring(conn, "Hello\r\n") end
mt.macro(conn, SMFIC_MAIL, "i", "QUEUEID")
check("eom", mt.eom(conn) ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("no trace", not mt.eom_check(conn, MT_HDRINSERT, "X-Earmark"))
check("no status", not mt.eom_check(conn, MT_HDRINSERT, "X-Spam-Status"))
check("forged field left", not mt.eom_check(conn, MT_HDRDELETE, "X-Spam-Flag"))
check("flagged", mt.eom_check(conn, MT_HDRINSERT, "X-Spam-Flag"))
mt.abort(conn)

-- The second transaction has its own verdict: this policy refuses at 2 points.
check("mail 2", mt.mailfrom(conn, "<a@example.net>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("rcpt 2", mt.rcptto(conn, "<b@strict.example>") ~= nil)
check("not refused", mt.getreply(conn) ~= SMFIR_REPLYCODE)
mt.abort(conn)

-- And so has the third.
check("mail 3", mt.mailfrom(conn, "<a@example.net>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
check("rcpt 3", mt.rcptto(conn, "<b@example.org>") ~= nil or mt.getreply(conn) ~= SMFIR_CONTINUE)
mt.abort(conn)
mt.disconnect(conn)

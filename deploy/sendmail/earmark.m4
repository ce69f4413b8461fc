dnl # earmark in Sendmail 8.14 or later: put this file into /etc/mail/m4, and the line
dnl #     include(`/etc/mail/m4/earmark.m4')dnl
dnl # before the MAILER lines of sendmail.mc; make sendmail.cf anew (Debian: sendmailconfig) and restart Sendmail. What
dnl # there is to know besides is in docs/sendmail.md. The end-to-end tests run with this file as it stands; they set the
dnl # socket only.
dnl #
dnl # Where earmark listens, as in [milter] listen of policies/server.toml, but in Sendmail's spelling: inet:8890@127.0.0.1,
dnl # inet6:8890@::1, or unix: and a path.
dnl #
ifdef(`EARMARK_SOCKET', , `define(`EARMARK_SOCKET', `inet:8890@127.0.0.1')')dnl
dnl #
dnl # F=T  While earmark cannot be reached, or once it is lost in the middle of a session, mail is answered 451: the sender
dnl #      tries again. Nothing is lost, nothing gets past. The price: no mail while earmark is down. Without F= the mail
dnl #      goes on instead. The price: it is neither refused nor marked, and an X-Spam-Flag that its sender forged stays.
dnl # T=   C  for the connection. A filter that is down refuses at once; this is for a host that is gone.
dnl #      S  for each packet to be taken.
dnl #      R  for each reply. RCPT waits for DNS, at most the `budget' of server.toml (6 s); the end of a message waits for
dnl #         the content scanners, at most its `scan_budget' (60 s): twice that. Sendmail's own 10 s are too short.
dnl #      E  for the end of a message, all replies together: not below R, and below the ten minutes that a client waits
dnl #         for its answer (RFC 5321 section 4.5.3.2.6).
dnl # Filters are asked in the order of these lines. One that writes Authentication-Results or X-Spam- fields of its own comes
dnl # after earmark, which removes those that it finds.
dnl #
INPUT_MAIL_FILTER(`earmark', `S=EARMARK_SOCKET, F=T, T=C:5s;S:30s;R:2m;E:5m')dnl
dnl #
dnl # Sendmail logs as much of filters as of all else, and at its usual level of 9 that is every field that they write. At 8
dnl # there remain errors, refusals and what is quarantined.
dnl #
define(`confMILTER_LOG_LEVEL', `8')dnl
dnl #
dnl # No confMILTER_MACROS_ line is needed, since earmark asks for its macros itself.

"""The settings of mail: which of them can send, and what is said of those that cannot."""

from pathlib import Path

import pytest

from gateway.__main__ import EXIT_CONFIGURATION, main
from gateway.mail_send import MailResend, MailSmtp, SettingsFault, SmtpPlace, mail_fault, smtp_place, transport_build
from shared.settings import settings_read

KEY = "re_test_123456789"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("smtp://mail.example", SmtpPlace("mail.example", 587, None, None, "starttls")),
        ("smtp://u%40x:p%3Aw%2F@mail.example:2525/", SmtpPlace("mail.example", 2525, "u@x", "p:w/", "starttls")),
        ("smtps://u:p@mail.example", SmtpPlace("mail.example", 465, "u", "p", "implicit")),
        ("smtp://[::1]:1025?tls=none", SmtpPlace("::1", 1025, None, None, "none")),
        ("smtp://localhost?tls=none", SmtpPlace("localhost", 25, None, None, "none")),
    ],
)
def test_smtp_addresses(url: str, place: SmtpPlace) -> None:
    """An SMTP address reads as host, port, user, password and TLS, parts of it percent-decoded."""
    assert smtp_place(url) == place


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://mail.example",
            "smtp://",
            "mail.example:587",
            "smtp://mail.example:99999",
            "smtp://mail.example/path",
        ),
        *("smtp://mail.example?tls=none", "smtps://localhost?tls=none", "smtp://localhost?tls=no", "smtp://[::1"),
        *("smtp://topsecret@mail.example", "smtp://:topsecret@mail.example", "smtp://10.0.0.1?tls=none"),
    ],
)
def test_unusable_smtp_addresses(url: str) -> None:
    """What is no such address, or would send in the clear over a network, is refused without its password."""
    with pytest.raises(SettingsFault, match="TIDEMARK_SMTP_URL") as fault:
        smtp_place(url)
    assert "topsecret" not in str(fault.value)


def test_settings_that_cannot_send_say_why(tmp_path: Path) -> None:
    """Each missing, unused or impossible setting of mail gives one sentence that names it."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "empty").write_text("\n")
    sender = {"TIDEMARK_MAIL_FROM": "Tidemark <a@example.org>"}
    smtp_good = {"TIDEMARK_MAIL": "smtp", "TIDEMARK_SMTP_URL": "smtp://mail.example"} | sender
    resend_good = {"TIDEMARK_MAIL": "resend", "TIDEMARK_RESEND_KEY_FILE": str(tmp_path / "key")} | sender
    production = {"TIDEMARK_ENV": "production", "TIDEMARK_BASE_URL": "https://venue.example"}
    for good in ({}, smtp_good, resend_good, smtp_good | production):
        assert mail_fault(settings_read(good)) == ""
    faults = [
        (production, "TIDEMARK_MAIL=smtp"),
        (smtp_good | {"TIDEMARK_SMTP_URL": ""}, "TIDEMARK_SMTP_URL"),
        (smtp_good | {"TIDEMARK_MAIL_FROM": ""}, "TIDEMARK_MAIL_FROM"),
        (smtp_good | {"TIDEMARK_MAIL_FROM": "a@example.org, b@example.org"}, "TIDEMARK_MAIL_FROM"),
        (smtp_good | {"TIDEMARK_MAIL": "console"}, "TIDEMARK_MAIL is console"),
        (smtp_good | {"TIDEMARK_MAIL": "resend"}, "TIDEMARK_SMTP_URL is set"),
        (resend_good | {"TIDEMARK_RESEND_KEY_FILE": ""}, "TIDEMARK_RESEND_KEY_FILE"),
        (resend_good | {"TIDEMARK_RESEND_KEY_FILE": str(tmp_path / "none")}, "No such file"),
        (resend_good | {"TIDEMARK_RESEND_KEY_FILE": str(tmp_path)}, "TIDEMARK_RESEND_KEY_FILE"),
        (resend_good | {"TIDEMARK_RESEND_KEY_FILE": str(tmp_path / "empty")}, "must hold one key"),
        (resend_good | {"TIDEMARK_RESEND_URL": "http://api.example"}, "https://"),
        (resend_good | {"TIDEMARK_RESEND_URL": "ftp://127.0.0.1"}, "https://"),
    ]
    for changes, part in faults:
        sentence = mail_fault(settings_read(changes))
        assert part in sentence
        assert sentence.endswith(".")
        assert KEY not in sentence
    assert isinstance(transport_build(settings_read(smtp_good)), MailSmtp)
    assert isinstance(transport_build(settings_read(resend_good)), MailResend)


def test_production_without_a_way_for_mails_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The gateway ends at once with the code of a wrong configuration, and the sentence says what to set."""
    monkeypatch.setenv("TIDEMARK_ENV", "production")
    monkeypatch.setenv("TIDEMARK_BASE_URL", "https://venue.example")
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == EXIT_CONFIGURATION
    assert "TIDEMARK_MAIL=smtp" in "".join(capfd.readouterr())

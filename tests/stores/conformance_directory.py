"""What every store must do: organisations, projects, keys, and the record of their changes."""

from pathlib import Path

import pytest

from faregate.core.identity import key_digest, make_id, make_key
from faregate.stores.database import Conflict, NoSuchRecord, StoreError
from faregate.stores.directory import GRACE_S_MAX, Directory
from faregate.stores.pepper import Pepper

from .conformance import ACTOR, PEPPER, Conformance, World


class DirectoryConformance(Conformance):
    """Organisations, projects, keys."""

    def test_a_key_opens_and_says_whose_it_is(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key(
                "web", "k", actor=ACTOR, allowed_models=("gpt-4o",), allowed_addresses=("10.0.0.0/8", "::1")
            )
            caller = await world.prove(issued)
            assert caller is not None
            assert (caller.key_id, caller.project_id) == (issued.key.id, world.project.id)
            assert caller.organisation_id == world.organisation.id
            assert caller.allowed_models == {"gpt-4o"}
            assert caller.may_call_from("10.1.2.3") and caller.may_call_from("::1")
            assert not caller.may_call_from("192.0.2.1")
            assert not caller.disabled and caller.expires_at is None

        self.play(tmp_path, story)

    def test_wrong_secret_and_unknown_id_open_nothing(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key("web", "k", actor=ACTOR)
            forged = make_key("sk-fg-", issued.key.id).encode()
            assert await world.directory.find_key(PEPPER.digest(forged), issued.key.id) is None
            right = PEPPER.digest(issued.text.reveal().encode())
            for key_id in (make_id(), "", "' OR 1=1 --", "%", "\0", "é" * 12):
                assert await world.directory.find_key(right, key_id) is None
            assert await world.directory.find_key(b"", issued.key.id) is None

        self.play(tmp_path, story)

    def test_another_pepper_opens_nothing(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key("web", "k", actor=ACTOR)
            digest = key_digest(bytes(32), issued.text.reveal().encode())
            assert await world.directory.find_key(digest, issued.key.id) is None
            await world.directory.check_pepper()
            await world.directory.check_pepper()
            stranger = Directory(world.database, Pepper("v1", bytes(32)))
            with pytest.raises(StoreError, match="not the pepper"):
                await stranger.check_pepper()

        self.play(tmp_path, story)

    def test_a_revoked_key_is_gone_and_stays_gone(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key("web", "k", actor=ACTOR)
            revoked = await world.directory.revoke_key(issued.key.id, actor=ACTOR)
            assert revoked.revoked_at == world.clock.now
            assert await world.prove(issued) is None
            world.clock.now += 5
            assert await world.directory.revoke_key(issued.key.id, actor=ACTOR) == revoked
            with pytest.raises(Conflict):
                await world.directory.rotate_key(issued.key.id, actor=ACTOR)
            assert [key.revoked_at for key in await world.directory.list_keys()] == [revoked.revoked_at]

        self.play(tmp_path, story)

    def test_expiry(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            ends = world.clock.now + 60
            issued = await world.directory.create_key("web", "k", actor=ACTOR, expires_at=ends)
            caller = await world.prove(issued)
            assert caller is not None and caller.expires_at == ends
            world.clock.now = ends
            assert await world.prove(issued) is None
            with pytest.raises(Conflict):
                await world.directory.rotate_key(issued.key.id, actor=ACTOR)
            with pytest.raises(StoreError):
                await world.directory.create_key("web", "late", actor=ACTOR, expires_at=ends)

        self.play(tmp_path, story)

    @pytest.mark.parametrize("level", ["organisation", "project"])
    def test_what_is_disabled_shows_and_comes_back(self, tmp_path: Path, level: str) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key("web", "k", actor=ACTOR)
            for disabled in (True, True, False):
                if level == "organisation":
                    await world.directory.disable_organisation("acme", disabled=disabled, actor=ACTOR)
                else:
                    await world.directory.disable_project(world.project.id, disabled=disabled, actor=ACTOR)
                caller = await world.prove(issued)
                assert caller is not None and caller.disabled is disabled
            deeds = [row.action for row in await world.directory.list_audit()]
            assert deeds[3:] == [f"{level}.disable", f"{level}.enable"]  # to disable twice is one deed

        self.play(tmp_path, story)

    def test_names(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            directory = world.directory
            with pytest.raises(Conflict):
                await directory.create_organisation("acme", actor=ACTOR)
            with pytest.raises(Conflict):
                await directory.create_project("acme", "web", actor=ACTOR)
            await directory.create_organisation("other", actor=ACTOR)
            second = await directory.create_project("other", "web", actor=ACTOR)
            with pytest.raises(Conflict, match="several"):
                await directory.create_key("web", "k", actor=ACTOR)
            assert (
                await directory.create_key(second.id, "k", actor=ACTOR)
            ).key.organisation_id == second.organisation_id
            assert [project.id for project in await directory.list_projects("other")] == [second.id]
            for bad in ("", " x", "a\nb", "x" * 201, "\x1b[31m"):
                with pytest.raises(StoreError):
                    await directory.create_organisation(bad, actor=ACTOR)
            odd = "Robert'); DROP TABLE api_key;--"
            assert (await directory.create_organisation(odd, actor=ACTOR)).name == odd
            with pytest.raises(NoSuchRecord):
                await directory.create_project("nobody", "x", actor=ACTOR)
            with pytest.raises(NoSuchRecord):
                await directory.revoke_key("nobody", actor=ACTOR)
            with pytest.raises(StoreError, match="network"):
                await directory.create_key(second.id, "k", actor=ACTOR, allowed_addresses=("10.0.0.1/8",))

        self.play(tmp_path, story)

    def test_a_failed_move_leaves_nothing(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            before = await world.directory.revision(), await world.directory.list_audit()
            with pytest.raises(Conflict):
                await world.directory.create_organisation("acme", actor=ACTOR)
            assert (await world.directory.revision(), await world.directory.list_audit()) == before

        self.play(tmp_path, story)


class RotationConformance(Conformance):
    """Rotation: the id stays, the secret goes, at once or after its grace."""

    def test_without_grace_the_old_secret_stops_at_once(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            old = await world.directory.create_key("web", "k", actor=ACTOR, allowed_models=("m",))
            new = await world.directory.rotate_key(old.key.id, actor=ACTOR)
            assert new.key == old.key
            assert new.text != old.text
            assert await world.prove(old) is None
            caller = await world.prove(new)
            assert caller is not None and caller.allowed_models == {"m"}

        self.play(tmp_path, story)

    def test_grace_ends_to_the_second_and_is_never_lengthened(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            first = await world.directory.create_key("web", "k", actor=ACTOR)
            second = await world.directory.rotate_key(first.key.id, actor=ACTOR, grace_s=60)
            ends = world.clock.now + 60
            caller = await world.prove(first)
            assert caller is not None and caller.expires_at == ends
            world.clock.now += 30
            third = await world.directory.rotate_key(first.key.id, actor=ACTOR, grace_s=3600)
            caller = await world.prove(first)
            assert caller is not None and caller.expires_at == ends
            world.clock.now = ends
            assert await world.prove(first) is None
            assert await world.prove(second) is not None
            fourth = await world.directory.rotate_key(first.key.id, actor=ACTOR, grace_s=0)
            assert [await world.prove(key) is not None for key in (first, second, third, fourth)] == [
                False,
                False,
                False,
                True,
            ]

        self.play(tmp_path, story)

    def test_revocation_ends_a_grace_too(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            old = await world.directory.create_key("web", "k", actor=ACTOR)
            new = await world.directory.rotate_key(old.key.id, actor=ACTOR, grace_s=GRACE_S_MAX)
            await world.directory.revoke_key(old.key.id, actor=ACTOR)
            assert await world.prove(old) is None
            assert await world.prove(new) is None

        self.play(tmp_path, story)

    @pytest.mark.parametrize("grace_s", [-1.0, GRACE_S_MAX + 1, float("nan"), float("inf")])
    @pytest.mark.contract("2.3")
    def test_grace_is_at_most_seven_days(self, tmp_path: Path, grace_s: float) -> None:
        async def story(world: World) -> None:
            issued = await world.directory.create_key("web", "k", actor=ACTOR)
            with pytest.raises(StoreError, match="grace"):
                await world.directory.rotate_key(issued.key.id, actor=ACTOR, grace_s=grace_s)
            assert await world.prove(issued) is not None

        self.play(tmp_path, story)


class AuditConformance(Conformance):
    """Every move is on record, for good."""

    @pytest.mark.contract("2.5")
    def test_every_move_is_a_row_and_a_revision(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            directory = world.directory
            issued = await directory.create_key("web", "k", actor=ACTOR)
            await directory.rotate_key(issued.key.id, actor=ACTOR, grace_s=5)
            await directory.disable_project("web", disabled=True, actor="someone")
            await directory.disable_organisation("acme", disabled=True, actor=ACTOR)
            await directory.revoke_key(issued.key.id, actor=ACTOR)
            rows = await directory.list_audit()
            assert [row.action for row in rows] == [
                "organisation.create",
                "project.create",
                "key.create",
                "key.rotate",
                "project.disable",
                "organisation.disable",
                "key.revoke",
            ]
            assert await directory.revision() == len(rows)
            assert {row.actor for row in rows} == {"cli:test", "someone"}
            assert (rows[0].address, rows[0].request_id, rows[0].before) == ("192.0.2.1", "r-1", None)
            assert rows[-1].subject == issued.key.id and '"revoked_at":null' in (rows[-1].before or "")
            assert await directory.verify_audit() is None
            secret = issued.text.reveal().partition("-fg-")[2][13:]
            assert not any(secret in f"{row.before}{row.after}" for row in rows)

        self.play(tmp_path, story)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE audit SET actor = 'nobody'",
            "DELETE FROM audit",
            "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        ],
    )
    @pytest.mark.contract("2.5")
    def test_rows_cannot_be_changed(self, tmp_path: Path, statement: str) -> None:
        async def story(world: World) -> None:
            before = await world.directory.list_audit()
            with pytest.raises(Exception, match="append-only"):
                await world.database.run(lambda writing: writing.run(statement))
            assert await world.directory.list_audit() == before

        self.play(tmp_path, story)

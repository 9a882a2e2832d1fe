//! PostgreSQL client: prepared statements over one connection a client. The statements in
//! `loadtests/peers/postgres` do the work in one round trip; a second variant locks the row first.

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Statement};

use crate::connection::{Connection, Settle};
use crate::ids::Ids;

const RESERVE: &str = include_str!("../../../peers/postgres/reserve.sql");
const CONFIRM: &str = include_str!("../../../peers/postgres/confirm.sql");
const CANCEL: &str = include_str!("../../../peers/postgres/cancel.sql");
const CHECK: &str = "SELECT available FROM stock WHERE sku = $1";
const LOCK: &str = "SELECT available FROM stock WHERE sku = $1 FOR UPDATE";
const TAKE: &str = "UPDATE stock SET available = available - $2 WHERE sku = $1";
const HOLD: &str = "INSERT INTO hold (id, sku, quantity, state) VALUES ($3, $1, $2, 'H')";

/// How a reserve is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// UPDATE and INSERT in one statement.
    OneStatement,
    /// BEGIN, SELECT FOR UPDATE, UPDATE, INSERT, COMMIT: how most applications do it.
    SelectForUpdate,
}

pub struct PostgresConnection {
    client: Client,
    ids: Ids,
    style: Style,
    reserve: Statement,
    confirm: Statement,
    cancel: Statement,
    check: Statement,
    lock: Statement,
    take: Statement,
    hold: Statement,
}

/// # Errors
/// There is no server there.
pub async fn connect(port: u16) -> Result<Client> {
    let target = format!("host=127.0.0.1 port={port} user=bench dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&target, NoTls)
        .await
        .with_context(|| format!("postgres on port {port}"))?;
    tokio::spawn(async move {
        // Its end shows as an error of the client's next call.
        let _ = connection.await;
    });
    Ok(client)
}

impl PostgresConnection {
    /// # Errors
    /// There is no server there, or it has no such tables.
    pub async fn connect(port: u16, style: Style, salt: u64) -> Result<Self> {
        let client = connect(port).await?;
        Ok(Self {
            ids: Ids::new(salt),
            style,
            reserve: client.prepare(RESERVE).await?,
            confirm: client.prepare(CONFIRM).await?,
            cancel: client.prepare(CANCEL).await?,
            check: client.prepare(CHECK).await?,
            lock: client.prepare(LOCK).await?,
            take: client.prepare(TAKE).await?,
            hold: client.prepare(HOLD).await?,
            client,
        })
    }

    async fn select_for_update(&self, sku: i32, quantity: i32, id: &Uuid) -> Result<bool> {
        self.client.batch_execute("BEGIN").await?;
        let row = self.client.query_one(&self.lock, &[&sku]).await?;
        if row.get::<_, i32>(0) < quantity {
            self.client.batch_execute("ROLLBACK").await?;
            return Ok(false);
        }
        self.client.execute(&self.take, &[&sku, &quantity]).await?;
        self.client
            .execute(&self.hold, &[&sku, &quantity, id])
            .await?;
        self.client.batch_execute("COMMIT").await?;
        Ok(true)
    }
}

impl Connection for PostgresConnection {
    type Hold = Uuid;

    async fn reserve(&mut self, sku: u32, quantity: u8) -> Result<Option<Uuid>> {
        let id = Uuid(self.ids.next_bytes());
        let (sku, quantity) = (sku.cast_signed(), i32::from(quantity));
        let held = match self.style {
            Style::OneStatement => {
                self.client
                    .execute(&self.reserve, &[&sku, &quantity, &id])
                    .await?
                    == 1
            }
            Style::SelectForUpdate => self.select_for_update(sku, quantity, &id).await?,
        };
        Ok(held.then_some(id))
    }

    async fn settle(&mut self, hold: Uuid, how: Settle) -> Result<()> {
        let statement = match how {
            Settle::Confirm => &self.confirm,
            Settle::Cancel => &self.cancel,
        };
        let rows = self.client.execute(statement, &[&hold]).await?;
        ensure!(rows == 1, "postgres has no live hold {:02x?}", hold.0);
        Ok(())
    }

    async fn check(&mut self, sku: u32) -> Result<u64> {
        let row = self
            .client
            .query_one(&self.check, &[&sku.cast_signed()])
            .await?;
        Ok(u64::try_from(row.get::<_, i32>(0))?)
    }
}

/// A request id as PostgreSQL's uuid, without one more crate.
#[derive(Clone, Copy, Debug)]
pub struct Uuid([u8; 16]);

impl ToSql for Uuid {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}
